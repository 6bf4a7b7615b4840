from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.hl7.charset import codec_of, decode
from producers.hl7.escape import STANDARD, Delimiters, escape, escape_formatted, unescape
from schemas.errors import InvalidMessage
from tests.consumers.generated import nasty_texts

OTHERS = Delimiters("#", "@", "!", "%", "*")


@pytest.mark.parametrize("delimiters", [STANDARD, OTHERS])
@given(text=st.text())
def test_any_text_survives(delimiters: Delimiters, text: str) -> None:
    written = escape(text, delimiters)
    assert unescape(written, delimiters) == text
    bare = written.replace(delimiters.escape, "")
    assert not set(bare) & (set(delimiters.letters) - {delimiters.escape})
    assert not any(unicodedata.category(character) == "Cc" for character in written)


@pytest.mark.parametrize("text", nasty_texts())
def test_nasty_texts_survive(text: str) -> None:
    assert unescape(escape(text)) == text
    assert unescape(escape_formatted(text)) == text.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a|b^c~d\\e&f", r"a\F\b\S\c\R\d\E\e\T\f"),
        ("CR\rLF\n", r"CR\X0D\LF\X0A\ ".strip()),
        ("VT\x0bFS\x1c", r"VT\X0B\FS\X1C\ ".strip()),
        ("next line\x85", r"next line\XC285\ ".strip()),
        ("Ґанок 🧠", "Ґанок 🧠"),
        ('""', r"\X2222\ ".strip()),
        ('he said ""', 'he said ""'),
    ],
)
def test_texts_are_written_as_the_standard_says(text: str, written: str) -> None:
    assert escape(text) == written


def test_lines_of_formatted_text_are_divided_by_breaks() -> None:
    assert escape_formatted("one\r\ntwo\rthree\nfour|") == r"one\.br\two\.br\three\.br\four\F\ ".strip()


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (r"\H\bold\N\ text", "bold text"),
        (r"\.br\\.br\ ", "\n\n "),
        (r"\X0d0a\ ", "\r\n "),
        (r"\Xabc\odd", r"\Xabc\odd"),
        (r"C:\temp", r"C:\temp"),
        (r"a\.sp3\b\F\c", r"a\.sp3\b|c"),
        ("\\", "\\"),
        (r"\\", r"\\"),
        (r"\XD290\ ", "Ґ "),
        (r"\XFF\ ", "\ufffd "),
    ],
)
def test_sequences_are_read_and_those_without_a_meaning_stay(written: str, text: str) -> None:
    assert unescape(written) == text


def test_hexadecimal_bytes_are_of_the_character_set_of_the_message() -> None:
    assert unescape(r"\XD3\ ".strip(), codec="cp1251") == "У"


@pytest.mark.parametrize(
    ("named", "codec"),
    [
        ("UNICODE UTF-8", "utf-8"),
        ("unicode utf-8", "utf-8"),
        ("8859/5", "iso8859-5"),
        ("8859/1~UNICODE UTF-8", "iso8859-1"),
        ("WINDOWS-1251", "cp1251"),
        ("", "cp1251"),
    ],
)
def test_the_character_set_is_that_of_msh_18(named: str, codec: str) -> None:
    payload = f"MSH|^~\\&|A||||||ADT^A01|1|P|2.5.1||||||{named}\rPID|1||Є".encode(codec, "replace")
    assert codec_of(payload, "cp1251") == codec
    if codec != "iso8859-1":
        assert decode(payload, "cp1251").endswith("Є")


def test_a_short_header_names_no_character_set() -> None:
    assert codec_of(b"MSH|^~\\&|A") == "utf-8"
    assert decode(b"\xef\xbb\xbfMSH|^~\\&|A") == "MSH|^~\\&|A"


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "begin with MSH"),
        (b"MSH", "begin with MSH"),
        (b"<html>", "begin with MSH"),
        (b"MSH|^~\\&|" + b"|" * 15 + b"KLINGON", "KLINGON"),
        (b"MSH|^~\\&|" + b"|" * 15 + b"UNICODE UTF-16", "UTF-16"),
        (b"MSH|^~\\&|" + b"|" * 15 + b"UNICODE UTF-8\rPID|\xff", "not of the character set"),
    ],
)
def test_what_cannot_be_decoded_is_an_invalid_message(payload: bytes, said: str) -> None:
    with pytest.raises(InvalidMessage, match=said):
        decode(payload)
