"""What the strict transport does otherwise than Faust's: go back, and take nothing from an ended assignment."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition  # type: ignore[import-untyped] # ships no types
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from producers.kafka import EventPublisher
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.ids import event_id
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from streams.findings.transport import CommittedConsumer, CommittedThread, OrderedProducer, partition_of
from tests.consumers.results import result_with_findings

PARTITION = TP(Topic.RESULTS.value, 0)
RECORDS = {PARTITION: ["a message"]}


class Fetching:
    """A consumer in the middle of a fetch, during which something may happen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **happens: Any) -> None:
        self.seeks = 0
        self.consumer = CommittedConsumer.__new__(CommittedConsumer)
        self.consumer.app = SimpleNamespace(consumer_generation_id=7)  # type: ignore[assignment] # as much of an app as a fetch looks at
        self.consumer.flow_active = True

        async def fetch(*_: Any) -> Any:
            self.consumer.flow_active = happens.get("flow_active", True)
            self.consumer.app.consumer_generation_id = happens.get("generation", 7)
            return RECORDS

        async def seek() -> None:
            self.seeks += 1
            if "error" in happens:
                raise happens["error"]

        monkeypatch.setattr(driver.Consumer, "_getmany", fetch)
        monkeypatch.setattr(self.consumer, "perform_seek", seek)

    async def fetched(self) -> Any:
        return await self.consumer._getmany({PARTITION}, 1.0)


async def test_what_is_fetched_under_one_assignment_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    fetching = Fetching(monkeypatch)
    assert await fetching.fetched() == RECORDS
    assert fetching.seeks == 0


@pytest.mark.parametrize("happens", [{"generation": 8}, {"flow_active": False}])
async def test_what_is_fetched_while_the_assignment_changes_is_read_again(
    monkeypatch: pytest.MonkeyPatch, happens: dict[str, Any]
) -> None:
    fetching = Fetching(monkeypatch, **happens)
    assert await fetching.fetched() == {}
    assert fetching.seeks == 1


async def test_without_any_partition_the_next_assignment_seeks(monkeypatch: pytest.MonkeyPatch) -> None:
    fetching = Fetching(monkeypatch, generation=8, error=AssertionError("No partitions are currently assigned"))
    assert await fetching.fetched() == {}


def test_a_key_goes_to_the_partition_that_librdkafka_chooses() -> None:
    assert partition_of(b"1.2.3", [5, 3, 1, 0, 2, 4], []) == crc32(b"1.2.3") % 6


@pytest.mark.integration
async def test_a_client_that_stopped_sending_for_good_is_noticed(kafka_settings: KafkaSettings) -> None:
    producer = OrderedProducer.__new__(OrderedProducer)
    producer._producer = client = AIOKafkaProducer(
        bootstrap_servers=kafka_settings.bootstrap_servers, enable_idempotence=True
    )
    await client.start()
    try:
        assert not producer.has_died
        client._sender.sender_task.cancel()
        await asyncio.wait([client._sender.sender_task], timeout=30.0)
        assert producer.has_died
    finally:
        await client.stop()


@pytest.mark.integration
async def test_a_partition_without_committed_offset_goes_back_to_its_beginning(
    kafka_settings: KafkaSettings,
) -> None:
    (finding,) = result_with_findings("1.2.826.0.1.3680043.8.498.77").findings
    publisher = EventPublisher(kafka_settings, Codec(), "/test/transport", Telemetry())
    for _ in range(3):
        publisher.publish(Topic.FINDINGS_BRAIN_VOLUME, finding.study_instance_uid, finding, partition=0)
    publisher.flush()
    place = TopicPartition(Topic.FINDINGS_BRAIN_VOLUME.value, 0)
    client = AIOKafkaConsumer(
        bootstrap_servers=kafka_settings.bootstrap_servers,
        group_id=event_id("group", finding.study_instance_uid),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    client.assign([place])
    await client.start()
    try:
        beginning = await client.position(place)
        for _ in range(3):
            await client.getone()
        thread = CommittedThread.__new__(CommittedThread)
        thread._consumer = client
        await thread._seek_to_committed()
        assert await client.position(place) == beginning
        again = await client.getone()
        await client.commit({place: again.offset + 2})
        await thread._seek_to_committed()
        assert await client.position(place) == again.offset + 2
    finally:
        await client.stop()
