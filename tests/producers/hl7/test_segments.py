from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import hl7
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.hl7.build import Formatted, message, segment
from producers.hl7.read import Message
from producers.hl7.values import number, timestamp
from schemas.errors import InvalidMessage

MSH = segment(
    "MSH", {3: "A", 7: "20260301", 9: ("ADT", "A01"), 10: "1", 11: "P", 12: "2.5.1", 18: "UNICODE UTF-8"}
)
texts = st.text(st.characters(exclude_categories=["Cs"]))


def test_fields_stand_at_their_numbers_and_empty_ends_are_left_out() -> None:
    assert segment("OBX", {1: "1", 3: ("a", None, "b", None), 5: ["x", None, "y"], 8: "", 9: None}) == (
        "OBX|1||a^^b||x~y"
    )
    assert MSH == r"MSH|^~\&|A||||20260301||ADT^A01|1|P|2.5.1||||||UNICODE UTF-8"
    assert segment("PID", {3: ("1", None, None, ("N|S", "1.2", "ISO"))}) == r"PID|||1^^^N\F\S&1.2&ISO"
    assert segment("NTE", {3: Formatted("a\nb")}) == r"NTE|||a\.br\b"
    assert segment("PV1", {}) == "PV1"


@given(texts, texts, texts)
def test_values_are_read_as_they_were_written(first: str, second: str, third: str) -> None:
    payload = message([MSH, segment("ZZZ", {1: first, 2: (second, ("x", third)), 3: "end"})])
    read = Message.of(payload)
    zzz = read.first("ZZZ")
    assert zzz is not None
    assert (zzz.value(1), zzz.value(2, 1), zzz.value(2, 2, 2), zzz.value(3)) == (first, second, third, "end")
    assert len(read.segments) == 2


@given(texts)
def test_another_parser_finds_the_same_fields(text: str) -> None:
    parsed = hl7.parse(message([MSH, segment("ZZZ", {1: text, 2: ("a", text), 3: "end"})]).decode())
    assert str(parsed.segment("ZZZ")[3]) == "end"
    assert parsed.unescape(str(parsed["ZZZ.F2.R1.C1"])) == "a"


def test_a_lone_surrogate_does_not_stop_a_message() -> None:
    assert message([segment("ZZZ", {1: "a\ud800b"})]) == b"ZZZ|a?b\r"


def test_a_message_is_read_by_the_numbers_of_the_standard() -> None:
    read = Message.of(b"MSH#@!%*#A\n\nPID##1@2!3@4*5%T%#x\r\nPID#2\rNTE\r")
    assert (read.header.name, read.header.raw(1), read.header.raw(2), read.header.value(3)) == (
        "MSH",
        "#",
        "@!%*",
        "A",
    )
    pid, second = read.all("PID")
    assert pid.repetitions(2) == ["1@2", "3@4*5%T%"]
    assert (pid.value(2, 2), pid.part(pid.repetitions(2)[1], 2, 2)) == ("2", "5*")
    assert (pid.value(99), pid.value(2, 9), pid.value(2, 1, 9), second.repetitions(7)) == ("", "", "", [])
    assert read.first("OBX") is None


def test_without_an_escape_character_nothing_is_escaped() -> None:
    read = Message.of(rb"MSH|^~|A" + b"\r" + rb"PID|a\F\b&c")
    assert read.segments[1].value(1) == r"a\F\b&c"


@pytest.mark.parametrize("payload", [b"MSH|", b"MSH||", b"MSH|^^", b"MSHA^~\\&", b"MSH \r^~", b"PID|1"])
def test_a_header_without_usable_delimiters_is_an_invalid_message(payload: bytes) -> None:
    with pytest.raises(InvalidMessage):
        Message.of(payload)


@given(st.floats())
def test_a_number_is_exact_to_what_fits_or_absent(value: float) -> None:
    text = number(value)
    if text is None:
        assert not abs(value) < 1e15 or abs(value) < 1e-10
    else:
        assert len(text) <= 16
        assert "e" not in text.lower()
        assert float(Decimal(text)) == pytest.approx(value, rel=1e-2)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1 + 0.2, "0.3"),
        (1234.5, "1234.5"),
        (-12.5, "-12.5"),
        (3.0, "3"),
        (-0.0, "0"),
        (100.0, "100"),
        (123456789.123, "123456789.123"),
        (1 / 3, "0.333333333333"),
        (float("nan"), None),
        (float("inf"), None),
        (1e300, None),
    ],
)
def test_numbers_are_written_without_exponent(value: float, text: str | None) -> None:
    assert number(value) == text


def test_moments_are_written_with_their_offset() -> None:
    assert timestamp(datetime(2026, 3, 1, 12, 30, 15, 250999, UTC)) == "20260301123015.250+0000"
    kyiv = timezone(timedelta(hours=2))
    assert timestamp(datetime(2026, 3, 1, 12, 30, 15, 0, kyiv)) == "20260301123015.000+0200"
    with pytest.raises(ValueError, match="time zone"):
        timestamp(datetime(2026, 3, 1, 12, 30))  # noqa: DTZ001 - what is refused
