"""A commit that was refused, or that did not end: what its publisher does next, on a real Kafka."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from producers.kafka import TRANSACTION_TIMEOUT_MS, EventPublisher
from producers.telemetry import Telemetry
from producers.topic_admin import create_topics
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, PermanentRejection
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from tests.services import kafka_broker, wait_for

pytestmark = pytest.mark.integration


def write(publisher: EventPublisher) -> None:
    with publisher.transaction() as transaction:
        transaction.publish_raw(Topic.AUDIT, b"test", b"test", [])


def test_who_was_fenced_is_told_at_once_and_takes_the_place_back_only_when_told_to(
    kafka_settings: KafkaSettings,
) -> None:
    name = f"test.fenced.{time.time_ns()}"
    first, second = (EventPublisher(kafka_settings, Codec(), "/test/node/p", Telemetry(), name) for _ in range(2))
    first.start(60)
    write(first)
    second.start(60)
    begun = time.monotonic()
    with pytest.raises(PermanentRejection):
        write(first)
    assert time.monotonic() - begun < TRANSACTION_TIMEOUT_MS / 1000, "waited for a client that can do nothing"
    with pytest.raises(PermanentRejection):
        write(first)
    write(second)
    first.renew(60)
    write(first)
    with pytest.raises(PermanentRejection):
        write(second)


def test_a_fence_that_an_event_notices_is_told_as_one(kafka_settings: KafkaSettings) -> None:
    name = f"test.fenced.{time.time_ns()}"
    first, second = (EventPublisher(kafka_settings, Codec(), "/test/node/p", Telemetry(), name) for _ in range(2))
    first.start(60)
    second.start(60)
    until = time.monotonic() + TRANSACTION_TIMEOUT_MS / 1000
    with pytest.raises(PermanentRejection, match="another process holds this place"), first.transaction() as one:
        while time.monotonic() < until:
            one.publish_raw(Topic.AUDIT, b"test", b"test", [])
    with pytest.raises(PermanentRejection, match="another process holds this place"):
        write(first)
    write(second)


def test_a_commit_that_did_not_end_is_left_to_the_next_client(tmp_path: Path) -> None:
    left = float("inf")
    with kafka_broker(tmp_path) as servers:
        settings = KafkaSettings(bootstrap_servers=servers)
        create_topics(settings)
        publisher = EventPublisher(
            settings, Codec(), "/test/node/p", Telemetry(), "test.unended", time_left=lambda: left
        )
        publisher.start(60)
        under_way = ExitStack()
        transaction = under_way.enter_context(publisher.transaction())
        transaction.publish_raw(Topic.AUDIT, b"test", b"test", [])
    left = 1.0
    with pytest.raises(DestinationUnavailable):
        under_way.close()
    left = float("inf")
    with kafka_broker(tmp_path, int(servers.rpartition(":")[2])):

        def writes() -> bool:
            try:
                write(publisher)
            except DestinationUnavailable:
                return False
            return True

        wait_for(writes, "a transaction after the broker's return")
