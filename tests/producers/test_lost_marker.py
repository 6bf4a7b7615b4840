"""Offsets whose commit the broker noted as done without writing it: real Kafka, on a log that lacks the marker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, TopicPartition

from producers.kafka import EventPublisher, consumer_config, new_consumer
from producers.telemetry import Telemetry
from producers.topic_admin import create_topics
from schemas.codec import Codec
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from tests.services import kafka_broker, wait_for

pytestmark = pytest.mark.integration

GROUP = "test.lost-marker"
PLACE = (Topic.INSTANCES.value, 0)
#: A batch with one control record that ends a transaction, in bytes.
MARKER = 78


def publisher(settings: KafkaSettings, consumer_group: str | None) -> EventPublisher:
    return EventPublisher(settings, Codec(), "/test/node/p", Telemetry(), "test.lost-marker.tx", consumer_group)


def commit(settings: KafkaSettings, offset: int) -> None:
    """A transaction with offsets and nothing else, from outside the group."""
    consumer = new_consumer(consumer_config(settings, "test", GROUP))
    one = publisher(settings, None)
    try:
        one.start(60)
        with one.transaction() as transaction:
            transaction.consumed([TopicPartition(*PLACE, offset)], consumer)
    finally:
        consumer.close()


def committed(settings: KafkaSettings) -> int | None:
    """The committed offset, or ``None`` while it is uncertain."""
    consumer = new_consumer(consumer_config(settings, "test", GROUP))
    try:
        return int(consumer.committed([TopicPartition(*PLACE)], timeout=3)[0].offset)
    except KafkaException:
        return None
    finally:
        consumer.close()


def segments_of_the_group(directory: Path) -> Iterator[Path]:
    for segment in directory.glob("kafka/data/__consumer_offsets-*/*.log"):
        if GROUP.encode() in segment.read_bytes():
            yield segment


def lose_the_last_marker(directory: Path) -> None:
    """Cut it off, with everything that the broker keeps beside the log and would believe."""
    (segment,) = segments_of_the_group(directory)
    content = segment.read_bytes()
    segment.write_bytes(content[:-MARKER])
    for beside in segment.parent.iterdir():
        if beside.suffix in {".snapshot", ".index", ".timeindex", ".txnindex"}:
            beside.unlink()
    (directory / "kafka/data/.kafka_cleanshutdown").unlink(missing_ok=True)


def test_a_commit_that_the_broker_lost_is_given_up_at_the_next_start(tmp_path: Path) -> None:
    directory = tmp_path / "kafka"
    directory.mkdir()
    with kafka_broker(directory) as servers:
        settings = KafkaSettings(bootstrap_servers=servers)
        create_topics(settings)
        commit(settings, 5)
        commit(settings, 9)
        wait_for(lambda: committed(settings) == 9, "the second commit")
    lose_the_last_marker(directory)
    with kafka_broker(directory, int(servers.rpartition(":")[2])):
        publisher(settings, None).start(60)
        assert committed(settings) is None, "a plain start does not end it: this test would show nothing"
        publisher(settings, GROUP).start(60)
        wait_for(lambda: committed(settings) == 5, "the offset before the lost commit")
        commit(settings, 11)
        wait_for(lambda: committed(settings) == 11, "a later commit")
