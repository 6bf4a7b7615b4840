from __future__ import annotations

import asyncio
import sqlite3
import time
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from producers.relay import Relay, RelayIdentity
from producers.store import InstanceStore, Lane
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.events import ArrivalHint, InstanceStored
from schemas.settings import KafkaSettings
from schemas.topics import PARTITIONS, Topic
from tests.integration.log_dump import dump
from tests.producers.listener import ARRIVALS
from tests.producers.store.data import image, put
from tests.producers.test_relay import new_relay, published, running
from tests.services import wait_for
from tests.tools import free_port

pytestmark = pytest.mark.integration


@pytest.fixture
def store(tmp_path: Path) -> Iterator[InstanceStore]:
    found = InstanceStore.open(tmp_path / "store", ARRIVALS.stored, Telemetry())
    yield found
    found.close()


def new_study() -> str:
    return f"2.25.{uuid.uuid4().int}"


def fill(store: InstanceStore, study: str, count: int = 3, *, urgent: bool = False, priority: str = "") -> None:
    async def work() -> None:
        for number in range(count):
            values = {"RequestedProcedurePriority": priority} if priority else {}
            ds = image(sop=f"{study[:50]}.{number}", study=study, **values)
            assert (await put(store, ds, urgent=urgent)).ok
        await store.announce(ARRIVALS.association_released(f"a-{study[-8:]}", {study: count}, 1.0))

    asyncio.run(work())


def lanes(store: InstanceStore) -> list[Lane]:
    return [row.lane for row in store.outbox.read(0, 1000, 1 << 30)]


def kinds(servers: str, study: str) -> list[str]:
    return [type(event).__name__ for event in published(servers, study)]


WHOLE = ["InstanceStored"] * 3 + ["ArrivalHint"]


@pytest.mark.parametrize("priority", ["STAT", "stat now", "EMERGENCY", "HIGH"])
def test_instances_and_hints_of_an_urgent_study_share_the_urgent_lane(store: InstanceStore, priority: str) -> None:
    fill(store, "1.2", priority=priority)
    fill(store, "1.3", urgent=True)
    fill(store, "1.4", priority="ROUTINE")
    assert lanes(store) == [Lane.URGENT] * 8 + [Lane.NORMAL] * 4


def test_a_hint_is_not_before_any_instance_of_its_study(store: InstanceStore) -> None:
    fill(store, "1.2", urgent=True)
    asyncio.run(put(store, image(sop="1.2.9", study="1.2")))
    asyncio.run(store.announce(ARRIVALS.association_released("b", {"1.2": 4}, 1.0)))
    assert lanes(store) == [Lane.URGENT] * 4 + [Lane.NORMAL] * 2


def beside(study: str) -> str:
    """Another study that the producer puts on the same partition (CRC-32 of the key)."""
    while True:
        found = new_study()
        if zlib.crc32(found.encode()) % PARTITIONS == zlib.crc32(study.encode()) % PARTITIONS:
            return found


def test_urgent_rows_pass_normal_ones_and_each_study_keeps_its_order(kafka: str, store: InstanceStore) -> None:
    urgent = new_study()
    normal = [beside(urgent) for _ in range(4)]
    for study in normal:
        fill(store, study)
    fill(store, urgent, urgent=True)
    with running(new_relay(store, kafka, new_study())):
        wait_for(lambda: store.outbox.backlog(0)[0] == 0, "an empty outbox")
    logged = [
        entry for entry in dump(kafka, [Topic.INSTANCES]) if entry.event.study_instance_uid in (urgent, *normal)
    ]
    assert len({entry.partition for entry in logged}) == 1
    order = [entry.event.study_instance_uid for entry in logged]
    assert order == [urgent] * 4 + [study for study in normal for _ in range(4)]
    assert [type(entry.event).__name__ for entry in logged] == WHOLE * 5


def test_urgent_rows_are_not_held_back_while_normal_ones_catch_up(kafka: str, tmp_path: Path) -> None:
    """Rows of an outage, one in five seconds: those that are urgent and come meanwhile are there at once."""
    now = time.time()
    store = InstanceStore.open(tmp_path / "store", ARRIVALS.stored, Telemetry(), clock=lambda: now)
    now -= 3600
    old, fresh = new_study(), new_study()
    fill(store, old, 30)
    now += 3600
    identity = RelayIdentity(old, f"/test/{old}", f"{old}.relay")
    settings = KafkaSettings(bootstrap_servers=kafka)
    telemetry = Telemetry()
    relay = Relay(store.outbox, settings, Codec(), identity, telemetry, lambda: None, catch_up_per_s=0.2)
    relay.start()
    try:
        wait_for(lambda: len(published(kafka, old)) >= 1, "the first of the old rows")
        fill(store, fresh, urgent=True)
        wait_for(lambda: kinds(kafka, fresh) == WHOLE, "the urgent study")
        assert len(published(kafka, old)) < 30
        text = telemetry.exposition().decode()
        assert 'scanstream_outbox_rows{lane="normal"}' in text
        assert 'scanstream_outbox_oldest_seconds{lane="urgent"}' in text
    finally:
        relay.close(0.0)
        store.close()


def test_positions_of_both_lanes_survive_a_kill_before_the_deletion(
    kafka: str, store: InstanceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    normal, urgent, gateway = new_study(), new_study(), new_study()
    fill(store, normal)
    fill(store, urgent, urgent=True)
    with monkeypatch.context() as patch:
        patch.setattr(store.outbox, "published", lambda *_: None)
        with running(new_relay(store, kafka, gateway)):
            wait_for(lambda: kinds(kafka, normal) == WHOLE, "the events")
    assert store.outbox.backlog(0)[0] == 8
    with running(new_relay(store, kafka, gateway)):
        wait_for(lambda: store.outbox.backlog(0)[0] == 0, "the deletion")
    assert kinds(kafka, normal) == kinds(kafka, urgent) == WHOLE


def test_two_relays_of_one_outbox_never_double(kafka: str, store: InstanceStore) -> None:
    """A supervisor that starts a gateway twice: the older one is fenced, whatever it was just doing."""
    gateway, studies = new_study(), [new_study() for _ in range(20)]
    relays = [new_relay(store, kafka, gateway) for _ in range(3)]
    for relay in relays:
        relay.start()
    try:
        for number, study in enumerate(studies):
            fill(store, study, urgent=number % 3 == 0)
        wait_for(
            lambda: store.outbox.backlog(0)[0] == 0 or all(relay.failure for relay in relays), "the relays", 60
        )
    finally:
        for relay in relays:
            relay.close(10.0)
    with running(new_relay(store, kafka, gateway)):
        wait_for(lambda: store.outbox.backlog(0)[0] == 0, "the rest")
    for study in studies:
        assert kinds(kafka, study) == WHOLE


OLD_TABLES = """
DROP TABLE outbox; DROP TABLE removals; DROP INDEX studies_in_order; DROP INDEX series_in_order;
DROP INDEX instances_in_order; ALTER TABLE studies DROP COLUMN lane;
CREATE TABLE outbox (sequence INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, key BLOB NOT NULL,
  value BLOB NOT NULL, headers BLOB NOT NULL, created_at REAL NOT NULL);
CREATE INDEX instances_of_series ON instances (StudyInstanceUID, SeriesInstanceUID);
PRAGMA user_version=1;
"""


def test_an_index_of_the_release_before_is_migrated_and_its_position_honoured(kafka: str, tmp_path: Path) -> None:
    gateway, study = new_study(), new_study()
    store = InstanceStore.open(tmp_path / "store", ARRIVALS.stored, Telemetry())
    fill(store, study)
    rows = store.outbox.read(0, 100, 1 << 30)
    with running(new_relay(store, kafka, gateway)):
        wait_for(lambda: kinds(kafka, study) == WHOLE, "the events")
    store.close()
    connection = sqlite3.connect(tmp_path / "store" / "index.sqlite")
    connection.executescript(OLD_TABLES)
    for row in rows:  # as they were before they were published: a kill before the deletion
        headers = str([[name, value.decode()] for name, value in row.message.headers]).replace("'", '"')
        connection.execute(
            "INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?)",
            (row.sequence, row.message.topic, row.message.key, row.message.value, headers.encode(), 1.0),
        )
    connection.commit()
    connection.close()
    store = InstanceStore.open(tmp_path / "store", ARRIVALS.stored, Telemetry())
    try:
        assert [row.message.headers for row in store.outbox.read(0, 100, 1 << 30)] == [
            row.message.headers for row in rows
        ]
        assert len(asyncio.run(store.instances_of(study))) == 3
        asyncio.run(put(store, image(sop=f"{study[:50]}.9", study=study)))
        with running(new_relay(store, kafka, gateway)):
            wait_for(lambda: store.outbox.backlog(0)[0] == 0, "an empty outbox")
        assert kinds(kafka, study) == [*WHOLE, "InstanceStored"]
    finally:
        store.close()


def test_no_broker_is_no_loss_in_either_lane(store: InstanceStore) -> None:
    fill(store, "1.2", urgent=True)
    fill(store, "1.3")
    relay = new_relay(store, f"127.0.0.1:{free_port()}", new_study())
    relay.start()
    relay.close(2.0)
    events = [Codec().decode(row.message.value) for row in store.outbox.read(0, 100, 1 << 30)]
    assert sum(isinstance(event, InstanceStored) for event in events) == 6
    assert sum(isinstance(event, ArrivalHint) for event in events) == 2
