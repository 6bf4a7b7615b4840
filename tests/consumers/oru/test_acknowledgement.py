from __future__ import annotations

import pytest

from consumers.oru.acknowledgement import Acknowledgement, error_of, read
from schemas.errors import (
    DestinationUnavailable,
    InvalidMessage,
    PermanentRejection,
    ScanstreamError,
    TransientFailure,
)
from tests.consumers.oru.listener import ack


@pytest.mark.parametrize("code", ["AA", "CA"])
def test_accepted_is_accepted_whatever_else_is_said(code: str) -> None:
    assert error_of(read(ack(code, "1", "101", said="warning")), ()) is None


@pytest.mark.parametrize(
    ("code", "errors", "kind"),
    [
        ("AE", (), PermanentRejection),
        ("CE", ("101",), PermanentRejection),
        ("AE", ("204",), PermanentRejection),
        ("AE", ("205",), PermanentRejection),
        ("AE", ("206",), TransientFailure),
        ("AE", ("207",), TransientFailure),
        ("AR", (), TransientFailure),
        ("CR", ("101",), TransientFailure),
        ("AR", ("200",), DestinationUnavailable),
        ("AE", ("203",), DestinationUnavailable),
        ("CR", ("202", "101"), DestinationUnavailable),
        ("XX", (), TransientFailure),
        ("", (), TransientFailure),
    ],
)
def test_codes_say_what_the_writer_must_do(
    code: str, errors: tuple[str, ...], kind: type[ScanstreamError]
) -> None:
    error = error_of(read(ack(code, "1", *errors)), ())
    assert type(error) is kind
    if isinstance(error, PermanentRejection):
        assert error.code == (int(errors[0]) if errors else None)


def test_a_refusal_says_what_and_where_but_not_who() -> None:
    said = "Пацієнта ШЕВЧЕНКО Тарас (ID 4711-0815, нар. 1973-01-12) не знайдено, case 20260301"
    refused = read(ack("AE", "1", "204", text="Unknown patient Шевченко", said=said))
    error = str(error_of(refused, {"Шевченко", "Тарас", "4711-0815"}))
    assert error.startswith("the HL7 listener answered AE (204 unknown key identifier, PID-3, ")
    assert "не знайдено" in error
    for personal in ("евченко", "ЕВЧЕНКО", "Тарас", "4711", "1973", "01-12", "20260301"):
        assert personal not in error


def test_a_refusal_is_one_printable_line_and_hides_names_however_they_are_spaced() -> None:
    refused = read(ack("AE", "1", "101", said="no\r\n\x1b[31m Шев\ufffdченко,  Де   Ла\tКруз"))
    error = str(error_of(refused, {"Шевченко", "Де Ла  Круз"}))
    assert "PID-3, no [31m …, …)" in error


def test_a_long_text_is_cut() -> None:
    error = error_of(read(ack("AE", "1", text="x" * 100_000)), {"abc"})
    assert len(str(error)) < 400


def test_an_old_error_segment_is_read() -> None:
    old = (
        b"MSH|^~\\&|||||||ACK|1|P|2.3\rMSA|AE|7|text|||207^Application internal error\rERR|PID^1^5^101&Required\r"
    )
    answer = read(old)
    assert (answer.code, answer.control_id) == ("AE", "7")
    assert answer.errors == ("101", "207")
    assert answer.places == ("PID-5",)


def test_a_text_of_no_stated_character_set_keeps_its_ascii_only() -> None:
    old = "MSH|^~\\&|||||||ACK|1|P|2.3\rMSA|AE|7|відмова: no patient Шевченко\r".encode("cp1251")
    error = str(error_of(read(old), {"Шевченко"}))
    assert "no patient" in error
    assert error.isascii()


@pytest.mark.parametrize(
    "payload", [b"", b"HTTP/1.1 400 Bad Request", b"MSH|^~\\&|A\r", b"MSH|\r\rMSA|AA|1", b"\x00" * 50]
)
def test_what_is_no_acknowledgement(payload: bytes) -> None:
    with pytest.raises(InvalidMessage):
        read(payload)


@pytest.mark.parametrize(
    ("code", "about", "ours"),
    [
        ("AA", "1", True),
        ("AA", "2", False),
        ("AA", "", False),
        ("AE", "", True),
        ("CR", "", True),
        ("AE", "2", False),
    ],
)
def test_an_answer_is_ours_by_its_control_id(code: str, about: str, ours: bool) -> None:
    assert Acknowledgement(code, about).is_about("1") is ours
