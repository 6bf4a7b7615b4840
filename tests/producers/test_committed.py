"""Committed offsets while the transaction of a former owner is open, on a real Kafka."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, TopicPartition

from producers.committed import committed_offsets
from producers.kafka import EventPublisher, Transaction, consumer_config, new_consumer
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable
from schemas.settings import KafkaSettings
from schemas.topics import Topic

pytestmark = pytest.mark.integration

PLACE = (Topic.INSTANCES.value, 0)


@contextmanager
def member(settings: KafkaSettings, group: str) -> Iterator[Consumer]:
    consumer = new_consumer(consumer_config(settings, "test", group))
    try:
        yield consumer
    finally:
        consumer.close()


@contextmanager
def unfinished(settings: KafkaSettings, consumer: Consumer, offset: int) -> Iterator[Transaction]:
    """A transaction that has sent an offset and is committed at the end of the block."""
    name = f"owner-{random.randrange(10**12)}"
    publisher = EventPublisher(settings, Codec(), f"/test/{name}", Telemetry(), name)
    publisher.start()
    with publisher.transaction() as transaction:
        transaction.publish_raw(Topic.AUDIT, b"test", b"test", [])
        transaction.consumed([TopicPartition(*PLACE, offset)], consumer)
        yield transaction


def test_the_offset_is_told_once_the_former_owner_has_committed(kafka_settings: KafkaSettings) -> None:
    group = f"test-{random.randrange(10**12)}"
    told: list[int] = []
    with member(kafka_settings, group) as owner, member(kafka_settings, group) as heir:

        def ask() -> None:
            (place,) = committed_offsets(heir, [TopicPartition(*PLACE)], threading.Event())
            told.append(place.offset)

        asking = threading.Thread(target=ask)
        with unfinished(kafka_settings, owner, 42):
            asking.start()
            asking.join(6.0)  # longer than one question
            assert told == []
        asking.join(30.0)
        assert told == [42]


def test_no_place_is_no_question(kafka_settings: KafkaSettings) -> None:
    with member(kafka_settings, "test-nobody") as consumer:
        assert committed_offsets(consumer, [], threading.Event()) == []
        (place,) = committed_offsets(consumer, [TopicPartition(*PLACE)], threading.Event())
        assert place.offset < 0


def test_a_stop_ends_the_wait_with_an_error_that_leaves_the_rebalance_callback_whole(
    kafka_settings: KafkaSettings,
) -> None:
    group = f"test-{random.randrange(10**12)}"
    stop = threading.Event()
    stop.set()

    def came(consumer: Consumer, partitions: list[TopicPartition]) -> None:
        committed_offsets(consumer, partitions, stop)

    # a member that only assigned itself keeps the group empty, so that the heir gets every partition
    with (
        member(kafka_settings, group) as owner,
        member(kafka_settings, group) as heir,
        unfinished(kafka_settings, owner, 1),
    ):
        heir.subscribe([PLACE[0]], on_assign=came)
        with pytest.raises(DestinationUnavailable, match="committed offsets"):
            for _ in range(600):
                heir.poll(0.1)
