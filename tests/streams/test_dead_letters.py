from __future__ import annotations

import pytest
from confluent_kafka import Message

from schemas.errors import InvalidMessage, ScanstreamError
from schemas.headers import header
from streams.dead_letters import BRAKE, DeadLetters
from tests.streams.samples import at

BAD = Message(topic="imaging.instances", partition=3, offset=17, key=b"k", value=b"?", headers=[("a", b"b")])


def test_a_dead_letter_is_the_message_with_its_failure() -> None:
    dead = DeadLetters("scanstream.streams")
    dead.add(BAD, InvalidMessage("not framed"), at(0))
    (letter,) = dead.letters
    assert (dead.topic, letter.key, letter.value) == ("scanstream.streams.dlq", b"k", b"?")
    assert header(letter.headers, "a") == "b"
    assert header(letter.headers, "scanstream_partition") == "3"
    assert header(letter.headers, "scanstream_offset") == "17"
    assert header(letter.headers, "scanstream_reason") == "not framed"
    assert header(letter.headers, "scanstream_failed_at") == "2026-03-01T08:00:00.000Z"


def test_too_many_in_a_row_stop_the_process_and_a_good_message_ends_the_row() -> None:
    dead = DeadLetters("scanstream.streams")
    for _ in range(BRAKE):
        dead.add(BAD, InvalidMessage("not framed"), at(0))
    dead.understood()
    for _ in range(BRAKE):
        dead.add(BAD, InvalidMessage("not framed"), at(0))
    with pytest.raises(ScanstreamError, match=r"51 messages in a row .* imaging\.instances\[3\]@17 .*start again"):
        dead.add(BAD, InvalidMessage("not framed"), at(0))
