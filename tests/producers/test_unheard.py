"""When events count as unheard, and that none is lost on the way to another client."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError

from producers.unheard import LONGEST_S, Queued, Unheard


class Clock:
    """Goes on when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Client:
    """A producer that keeps what it is given until it is told what became of it."""

    def __init__(self, room: int = 100) -> None:
        self.room = room
        self.kept: list[tuple[str, Any]] = []
        self.ended: list[tuple[Any, KafkaError | None]] = []

    def produce(self, topic: str, on_delivery: Any) -> None:
        if len(self.kept) >= self.room:
            raise BufferError
        self.kept.append((topic, on_delivery))

    def end(self, error: KafkaError | None = None) -> None:
        """Have the first one end; who sends is told of it with the next poll."""
        self.ended.append((self.kept.pop(0)[1], error))

    def poll(self, _: float) -> None:
        while self.ended:
            told, error = self.ended.pop(0)
            told(error, None)

    def purge(self) -> None:
        while self.kept:
            self.end(KafkaError(KafkaError._PURGE_QUEUE))

    def flush(self, timeout_s: float) -> None:
        self.poll(timeout_s)

    @property
    def topics(self) -> list[str]:
        """What waits."""
        return [topic for topic, _ in self.kept]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def unheard(clock: Clock) -> Unheard:
    return Unheard(lambda error, message: None, clock)


def event(topic: str) -> Queued:
    return {"topic": topic}


def test_only_what_waits_can_be_unheard(unheard: Unheard, clock: Clock) -> None:
    client: Any = Client()
    clock.now += 10 * LONGEST_S
    assert not unheard.for_too_long(client)
    unheard.queue(event("a"), client)
    clock.now += LONGEST_S
    assert not unheard.for_too_long(client)
    clock.now += 1.0
    assert unheard.for_too_long(client)


def test_one_that_was_acknowledged_speaks_for_those_that_wait(unheard: Unheard, clock: Clock) -> None:
    client: Any = Client()
    unheard.queue(event("a"), client)
    unheard.queue(event("b"), client)
    clock.now += LONGEST_S + 1.0
    client.end()  # nobody has asked for it yet
    assert not unheard.for_too_long(client)
    clock.now += LONGEST_S + 1.0
    assert unheard.for_too_long(client)


def test_all_that_waits_goes_over_in_order_and_nothing_else(unheard: Unheard, clock: Clock) -> None:
    old: Any = Client(room=4)
    new: Any = Client()
    for topic in "abcd":
        unheard.queue(event(topic), old)
    with pytest.raises(BufferError):
        unheard.queue(event("its sender was told"), old)
    old.end()
    old.end(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    clock.now += LONGEST_S + 1.0
    unheard.moved(old, new)
    assert new.topics == ["c", "d"]
    assert not unheard.for_too_long(new), "another client has its own time"
    new.end()
    new.end()
    clock.now += LONGEST_S + 1.0
    assert not unheard.for_too_long(new)
