from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.dicom.texts import long_string, short_text, unlimited_text

ANY_TEXT = st.text(st.characters(), max_size=200)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Ґалаґан Їжак", "Ґалаґан Їжак"),
        ("two\r\nlines\tand\\more", "two lines and/more"),
        ("\x00\x1b \x7f", "nothing"),
        ("", "nothing"),
        ("ї" * 40, "ї" * 32),
        ("a" * 63 + "😀", "a" * 63),
    ],
)
def test_a_text_becomes_one_line_of_64_bytes(text: str, line: str) -> None:
    assert long_string(text, "nothing") == line


def test_lines_end_with_cr_lf_and_keep_backslashes() -> None:
    assert unlimited_text("a\nb\rc\r\nd\u2028e\v\tf\\g\x00\n\n") == "a\r\nb\r\nc\r\nd\r\ne\r\n f\\g"


def test_a_short_text_is_cut_between_letters() -> None:
    assert short_text("ї" * 600) == "ї" * 512


@given(ANY_TEXT)
def test_any_text_becomes_a_valid_value(text: str) -> None:
    for value in (long_string(text), short_text(text), unlimited_text(text)):
        value.encode()
        left = {letter for letter in value if unicodedata.category(letter) == "Cc"}
        assert left <= {"\r", "\n"}
    assert len(long_string(text).encode()) <= 64
    assert not set(long_string(text)) & {"\r", "\n", "\t", "\\"}
    assert "\\" not in short_text(text)
    assert long_string(long_string(text)) == long_string(text)
