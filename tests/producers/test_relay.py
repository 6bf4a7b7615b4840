from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from producers.changelog import read_compacted
from producers.relay import Relay, RelayIdentity
from producers.store import InstanceStore
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.errors import PermanentRejection
from schemas.events import ArrivalHint, InstanceStored, RelayPosition
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from tests.integration.log_dump import dump
from tests.producers.forwarder import Forwarder
from tests.producers.listener import ARRIVALS
from tests.producers.store.data import image, put
from tests.services import wait_for
from tests.tools import free_port

pytestmark = pytest.mark.integration


@pytest.fixture
def store(tmp_path: Path) -> Iterator[InstanceStore]:
    found = InstanceStore.open(tmp_path / "store", ARRIVALS.stored, Telemetry())
    yield found
    found.close()


@pytest.fixture
def study() -> str:
    return f"2.25.{uuid.uuid4().int}"


def fill(store: InstanceStore, study: str, numbers: range) -> None:
    async def work() -> None:
        for number in numbers:
            await put(store, image(sop=f"{study[:50]}.{number}", study=study))
        await store.announce(ARRIVALS.association_released(f"a-{study[-8:]}", {study: len(numbers)}, 1.0))

    asyncio.run(work())


def new_relay(
    store: InstanceStore, servers: str, gateway: str, on_failure: Callable[[], None] = lambda: None
) -> Relay:
    identity = RelayIdentity(gateway, f"/test/{gateway}", f"{gateway}.relay")
    settings = KafkaSettings(bootstrap_servers=servers)
    return Relay(store.outbox, settings, Codec(), identity, Telemetry(), on_failure)


@contextmanager
def running(relay: Relay) -> Iterator[Relay]:
    relay.start()
    try:
        yield relay
    finally:
        relay.close(30.0)


def published(servers: str, study: str) -> list[InstanceStored | ArrivalHint]:
    return [
        logged.event for logged in dump(servers, [Topic.INSTANCES]) if logged.event.study_instance_uid == study
    ]


def position(servers: str, gateway: str) -> int:
    latest = read_compacted(KafkaSettings(bootstrap_servers=servers), Topic.RELAY, "test")
    (event,) = [
        Codec().decode(value)
        for key, value in latest.items()
        if key.startswith(f"{gateway}/".encode()) and not key.endswith(b"/urgent")
    ]
    assert isinstance(event, RelayPosition)
    assert event.gateway == gateway
    return event.sequence


def numbers(events: list[InstanceStored | ArrivalHint]) -> list[int]:
    return [
        int(event.sop_instance_uid.rpartition(".")[2]) for event in events if isinstance(event, InstanceStored)
    ]


def test_publishes_in_order_with_its_position_and_wakes_at_once(
    kafka: str, store: InstanceStore, study: str
) -> None:
    fill(store, study, range(1, 8))
    with running(new_relay(store, kafka, study)):
        wait_for(lambda: store.outbox.backlog(0)[0] == 0, "an empty outbox")
        fill(store, study, range(8, 12))
        wait_for(lambda: len(published(kafka, study)) == 13, "the later events")
    events = published(kafka, study)
    assert numbers(events) == list(range(1, 12))
    assert [type(event).__name__ for event in events][7] == "ArrivalHint"
    assert isinstance(events[-1], ArrivalHint)
    assert position(kafka, study) > 0


def test_rows_that_are_on_kafka_are_not_sent_again(
    kafka: str, store: InstanceStore, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill between the Kafka transaction and the deletion of the rows."""
    fill(store, study, range(1, 6))
    with monkeypatch.context() as patch:
        patch.setattr(store.outbox, "published", lambda *_: None)
        with running(new_relay(store, kafka, study)):
            wait_for(lambda: len(published(kafka, study)) == 6, "the events")
    assert store.outbox.backlog(0)[0] == 6
    with running(new_relay(store, kafka, study)):
        wait_for(lambda: store.outbox.backlog(0)[0] == 0, "the deletion")
        fill(store, study, range(6, 8))
        wait_for(lambda: len(published(kafka, study)) == 9, "the new events")
    assert numbers(published(kafka, study)) == list(range(1, 8))


def test_nothing_is_lost_when_two_gateways_are_given_one_name(
    kafka: str, store: InstanceStore, study: str, tmp_path: Path
) -> None:
    fill(store, study, range(1, 4))
    younger = InstanceStore.open(tmp_path / "younger", ARRIVALS.stored, Telemetry())
    try:
        fill(younger, study, range(4, 6))
        with running(new_relay(younger, kafka, study)):
            wait_for(lambda: younger.outbox.backlog(0)[0] == 0, "the events of one")
    finally:
        younger.close()
    with running(new_relay(store, kafka, study)):
        wait_for(lambda: store.outbox.backlog(0)[0] == 0, "the events of the other")
    assert sorted(numbers(published(kafka, study))) == [1, 2, 3, 4, 5]


def test_waits_for_a_broker_that_comes_late_and_says_so_once(
    kafka: str, store: InstanceStore, study: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "producers")
    fill(store, study, range(1, 4))
    port = free_port()
    with Forwarder(port, kafka) as network, running(new_relay(store, f"127.0.0.1:{port}", study)):
        wait_for(lambda: any("Kafka is away" in record.message for record in caplog.records), "the complaint")
        fill(store, study, range(4, 6))
        network.open()
        wait_for(lambda: len(published(kafka, study)) == 7, "the events")
    assert numbers(published(kafka, study)) == [1, 2, 3, 4, 5]
    said = [record.message for record in caplog.records if record.name.startswith("producers.relay")]
    assert [message.partition(":")[0] for message in said] == ["Kafka is away", "Kafka is back"]


def test_stops_quickly_while_kafka_is_away(store: InstanceStore, study: str) -> None:
    relay = new_relay(store, f"127.0.0.1:{free_port()}", study)
    relay.start()
    relay.close(10.0)
    assert not relay._thread.is_alive()


def test_a_rival_under_the_same_name_ends_the_older_one(kafka: str, store: InstanceStore, study: str) -> None:
    """One taking back is allowed (a transaction may have outlived its timeout), a second one is not."""
    ended: list[bool] = []
    relay = new_relay(store, kafka, study, lambda: ended.append(True))
    with running(relay):
        for round_number in range(1, 20):
            fill(store, study, range(round_number, round_number + 1))
            wait_for(lambda: bool(ended) or store.outbox.backlog(0)[0] == 0, "progress")
            if ended:
                break
            rival = new_relay(store, kafka, study)
            rival._register(rival._new_publisher())
    assert isinstance(relay.failure, PermanentRejection)
    assert round_number == 3
