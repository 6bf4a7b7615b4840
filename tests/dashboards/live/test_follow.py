"""The live view goes on where it was after its consumer has lost every broker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from dashboards.live import follow
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable
from schemas.settings import KafkaSettings
from tests.services import wait_for

PARTITIONS = dict.fromkeys(follow.TOPICS, SimpleNamespace(error=None, partitions={0: None}))


class Consumer:
    """Every topic with one partition; gives what it was made with, then the error if there is one."""

    def __init__(self, messages: list[Any], error: Exception | None) -> None:
        self.messages = messages
        self.error = error
        self.assigned: dict[str, int] = {}
        self.closed = False

    def list_topics(self, timeout: float) -> SimpleNamespace:
        return SimpleNamespace(topics=PARTITIONS)

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self.assigned = {one.topic: one.offset for one in partitions}

    def poll(self, timeout: float) -> Any:
        if self.messages:
            return self.messages.pop()
        if self.error is not None:
            raise self.error
        return None

    def consume(self, number: int, timeout: float) -> list[Any]:
        return []

    def close(self) -> None:
        self.closed = True


def test_another_consumer_goes_on_where_the_one_before_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = follow.TOPICS[0]
    read = SimpleNamespace(
        topic=lambda: topic, partition=lambda: 0, offset=lambda: 41, error=lambda: None, value=lambda: None
    )
    lost = Consumer([read], DestinationUnavailable("no broker is known"))
    other = Consumer([], None)
    waiting = [lost, other]
    monkeypatch.setattr(follow, "new_consumer", lambda _: waiting.pop(0))
    view = cast(Any, SimpleNamespace(sweep=lambda _: None))
    made = follow.Follower(KafkaSettings(), Codec(), view, Telemetry())
    made.start()
    try:
        wait_for(lambda: bool(other.assigned), "the other consumer", timeout_s=10.0)
    finally:
        made.close()
    assert lost.closed
    assert set(lost.assigned.values()) == {OFFSET_BEGINNING}
    assert other.assigned.pop(topic) == 42
    assert set(other.assigned.values()) == {OFFSET_BEGINNING}
