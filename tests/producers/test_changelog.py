"""Reading a compacted topic to its end, on a real Kafka."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from producers.changelog import read_compacted, read_partitions
from producers.kafka import EventPublisher
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable
from schemas.events import RelayPosition
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from tests.tools import free_port

CODEC = Codec()


def writer(settings: KafkaSettings) -> EventPublisher:
    name = f"writer-{random.randrange(10**12)}"
    publisher = EventPublisher(settings, CODEC, f"/test/{name}", Telemetry(), name)
    publisher.start()
    return publisher


def position(gateway: str, sequence: int) -> RelayPosition:
    return RelayPosition(gateway, sequence, datetime(2026, 1, 1, tzinfo=UTC))


@contextmanager
def aborted() -> Iterator[None]:
    with pytest.raises(ZeroDivisionError):
        yield


def sequences(settings: KafkaSettings, *gateways: str) -> list[int | None]:
    latest = read_compacted(settings, Topic.RELAY, "test")
    found: list[int | None] = []
    for gateway in gateways:
        value = latest.get(gateway.encode())
        event = None if value is None else CODEC.decode(value)
        found.append(event.sequence if isinstance(event, RelayPosition) else None)
    return found


@pytest.fixture
def names() -> list[str]:
    return [f"gateway-{random.randrange(10**12)}" for _ in range(3)]


@pytest.mark.integration
def test_the_latest_committed_value_counts_and_a_tombstone_removes(
    kafka_settings: KafkaSettings, names: list[str]
) -> None:
    one, two, three = names
    publisher = writer(kafka_settings)
    for sequence in range(5):
        with publisher.transaction() as transaction:
            for name in names:
                transaction.publish(Topic.RELAY, name, position(name, sequence))
    with publisher.transaction() as transaction:
        transaction.publish_raw(Topic.RELAY, two.encode(), None, [])
    with aborted(), publisher.transaction() as transaction:
        transaction.publish(Topic.RELAY, three, position(three, 99))
        publisher.flush()
        raise ZeroDivisionError
    assert sequences(kafka_settings, one, two, three) == [4, None, 4]


@pytest.mark.integration
def test_what_is_still_open_is_waited_for(kafka_settings: KafkaSettings, names: list[str]) -> None:
    publisher = writer(kafka_settings)
    written = threading.Event()

    def slowly() -> None:
        with publisher.transaction() as transaction:
            transaction.publish(Topic.RELAY, names[0], position(names[0], 7))
            publisher.flush()
            written.set()
            time.sleep(1.5)

    thread = threading.Thread(target=slowly)
    thread.start()
    assert written.wait(30)
    assert sequences(kafka_settings, names[0]) == [7]
    thread.join()


@pytest.mark.integration
def test_only_the_partitions_that_were_asked_for_are_read(kafka_settings: KafkaSettings, names: list[str]) -> None:
    publisher = writer(kafka_settings)
    for partition, name in enumerate(names):
        with publisher.transaction() as transaction:
            transaction.publish_raw(Topic.ASSEMBLY, name.encode(), name.encode(), [], partition)
    try:
        found = read_partitions(kafka_settings, Topic.ASSEMBLY, "test", [0, 2, 5])
        assert sorted(found) == [0, 2, 5]
        assert (names[0].encode() in found[0], names[2].encode() in found[2]) == (True, True)
        assert all(names[1].encode() not in latest for latest in found.values())
    finally:  # other tests restore from this topic
        for partition, name in enumerate(names):
            with publisher.transaction() as transaction:
                transaction.publish_raw(Topic.ASSEMBLY, name.encode(), None, [], partition)


@pytest.mark.integration
def test_a_topic_that_is_empty_is_read_at_once(kafka_settings: KafkaSettings) -> None:
    name = f"test.empty-{random.randrange(10**12)}"
    admin = AdminClient(dict(kafka_settings.librdkafka()))
    admin.create_topics([NewTopic(name, 3, 1)])[name].result(30)
    assert read_compacted(kafka_settings, name, "test", timeout_s=20.0) == {}


def test_without_a_broker_it_says_so() -> None:
    settings = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}")
    with pytest.raises(DestinationUnavailable, match="could not be read"):
        read_compacted(settings, Topic.RELAY, "test")
