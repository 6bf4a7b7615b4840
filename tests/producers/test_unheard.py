"""When another client goes on with events that are not heard of, and that none is lost on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from producers.unheard import LONGEST_S, Queued, Unheard


class Clock:
    """Goes on when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Client:
    """A producer that keeps what it is given until it is told what became of it."""

    def __init__(self, room: int = 100, answered: bool = True) -> None:
        self.room, self.answered = room, answered
        self.kept: list[tuple[str, Any]] = []
        self.ended: list[tuple[Any, KafkaError | None]] = []

    def produce(self, topic: str, on_delivery: Any) -> None:
        if len(self.kept) >= self.room:
            raise BufferError
        self.kept.append((topic, on_delivery))

    def end(self, error: KafkaError | None = None) -> None:
        """Have the first one end; who sends is told of it with the next poll."""
        self.ended.append((self.kept.pop(0)[1], error))

    def list_topics(self, timeout: float) -> None:
        if not self.answered:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))

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


@pytest.fixture
def go_on(unheard: Unheard, clock: Clock) -> Callable[..., bool]:
    """Some seconds later: whether another client should go on, which Kafka answers or does not."""

    def asked(client: Any, seconds: float, *, answered: bool = True) -> bool:
        clock.now += seconds
        other: Any = Client(answered=answered)
        heir = unheard.heir(client, lambda: other)
        assert heir in (None, other)
        return heir is not None

    return asked


LONG = LONGEST_S + 1.0
GoOn = Callable[..., bool]


def test_kafka_must_answer_others_for_as_long_as_the_silence_was(unheard: Unheard, go_on: GoOn) -> None:
    client: Any = Client()
    assert not go_on(client, LONG), "nothing waits"
    unheard.queue(event("a"), client)
    assert not go_on(client, LONG), "it may be about to connect"
    assert not go_on(client, LONGEST_S / 2)
    assert go_on(client, LONGEST_S)


def test_an_outage_changes_no_client(unheard: Unheard, go_on: GoOn) -> None:
    client: Any = Client()
    unheard.queue(event("a"), client)
    for _ in range(3):
        assert not go_on(client, LONG, answered=False)
        assert not go_on(client, LONG)
    assert go_on(client, LONG)


def test_one_that_was_acknowledged_speaks_for_those_that_wait(unheard: Unheard, go_on: GoOn) -> None:
    client: Any = Client()
    unheard.queue(event("a"), client)
    unheard.queue(event("b"), client)
    assert not go_on(client, LONG)
    client.end()  # nobody has asked for it yet
    assert not go_on(client, LONG)
    assert not go_on(client, LONG)
    assert go_on(client, LONG)


def test_all_that_waits_goes_over_in_order_and_nothing_else(unheard: Unheard, go_on: GoOn) -> None:
    old: Any = Client(room=4)
    new: Any = Client()
    for topic in "abcd":
        unheard.queue(event(topic), old)
    with pytest.raises(BufferError):
        unheard.queue(event("its sender was told"), old)
    old.end()
    old.end(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    unheard.moved(old, new)
    assert new.topics == ["c", "d"]
    assert not go_on(new, LONG), "another client has its own time"
    new.end()
    new.end()
    assert not go_on(new, LONG)
    assert not go_on(new, LONG)
