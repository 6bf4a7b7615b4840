"""Readers of HL7 v2: blocks of MLLP, messages, and what a listener answers (HL7 2.5.1 2.5 to 2.7, 2.9.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from consumers.oru.acknowledgement import error_of, read
from producers.hl7.build import message, segment
from producers.hl7.escape import escape, unescape
from producers.hl7.mllp import Deframer, FrameError, frame
from producers.hl7.read import Message
from schemas.errors import InvalidMessage
from tests.fuzz.split import cut

_LIMIT: Final = 4096
_SENTENCE: Final = 400
_PERSONAL: Final = frozenset({"Шевченко", "4711"})
_WALK: Final = 50


def hl7_message(data: bytes) -> None:
    """The same payloads for every cut; each is a message whose values are written as they were read, or none."""
    _, chunks = cut(data)
    payloads, end = _payloads(chunks)
    assert (payloads, end) == _payloads([data[1:]])
    for payload in (*payloads, data[1:]):
        try:
            read_message = Message.of(payload)
        except InvalidMessage as error:
            assert len(str(error)) < _SENTENCE
            continue
        for item in read_message.segments[:_WALK]:
            for number in range(1, _WALK):
                for repetition in item.repetitions(number)[:3]:
                    _survives([item.part(repetition, one, two) for one in (1, 2, 99) for two in (1, 2)])


def acknowledgement(data: bytes) -> None:
    """An answer is success or an error whose text is short, printable and names nobody; all else is refused."""
    try:
        answer = read(data)
    except InvalidMessage as error:
        assert len(str(error)) < _SENTENCE
        return
    error = error_of(answer, _PERSONAL)
    assert (error is None) == (answer.code in ("AA", "CA"))
    if error is not None:
        said = str(error)
        assert len(said) < 2 * _SENTENCE + 10 * len(answer.places)
        assert said.isprintable()
        assert not any(value.lower() in said.lower() for value in _PERSONAL)


def _payloads(chunks: Iterable[bytes]) -> tuple[list[bytes], str]:
    """Payloads, and how it ended."""
    reader, payloads = Deframer(_LIMIT), []
    try:
        for chunk in chunks:
            for payload in reader.feed(chunk):
                assert len(payload) <= _LIMIT
                payloads.append(payload)
    except FrameError:
        return payloads, "refused"
    return payloads, "inside" if reader.is_inside else "between"


def _survives(values: list[str]) -> None:
    header = segment("MSH", {9: ("ORU", "R01"), 18: "UNICODE UTF-8"})
    payload = message([header, segment("ZZZ", dict(enumerate(values, 1)))])
    (block,) = Deframer(10 * len(payload)).feed(frame(payload))
    again = Message.of(block).segments[1]
    assert [again.value(number) for number in range(1, len(values) + 1)] == values
    assert all(unescape(escape(value)) == value for value in values)
