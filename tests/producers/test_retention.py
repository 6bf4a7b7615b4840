from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from producers.arrival import Arrivals
from producers.audit_events import AuditEvents
from producers.retention import DAY_S, Retention, Unread, deletable
from producers.retention_backlog import starts
from producers.store import InstanceStore
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable
from schemas.events import AuditEvent
from tests.producers.store.data import image, put
from tests.services import wait_for

ARRIVALS = Arrivals("test.gateway", "http://127.0.0.1:1/dicom-web", "/test/gateway")


class Clock:
    """A clock that tests set, Unix seconds."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[InstanceStore]:
    audit = AuditEvents("site-1", "node-1", "/site-1/node-1/gateway")
    found = InstanceStore.open(tmp_path / "store", ARRIVALS.stored, Telemetry(), audit=audit, clock=clock)
    yield found
    found.close()


async def fill(store: InstanceStore, clock: Clock) -> None:
    """Two old studies, one that is old and got an instance lately, one that is new; all published."""
    clock.now -= 40 * DAY_S
    for study in ("1.1", "1.2", "1.3"):
        await put(store, image(sop=f"{study}.1", study=study))
    clock.now += 39 * DAY_S
    await put(store, image(sop="1.3.2", study="1.3"))
    clock.now += DAY_S
    await put(store, image(sop="1.4.1", study="1.4"))
    store.outbox.published(store.outbox.read(0, 100, 1 << 30)[-1].sequence)
    await put(store, image(sop="1.4.2", study="1.4"))


async def left(store: InstanceStore) -> set[str]:
    return {row["StudyInstanceUID"] for row in await store.search("study", {})}


def run_round(store: InstanceStore, clock: Clock, unread: Unread) -> int:
    return Retention(store, 30.0, lambda: unread, clock).round()


def test_only_what_nobody_waits_for_may_go() -> None:
    old = ["1", "2", "3"]
    assert deletable(old, Unread(), ()) == old
    assert deletable(old, Unread(frozenset({"2"})), ()) == ["1", "3"]
    assert deletable(old, Unread(), {"1"}) == ["2", "3"]
    assert deletable(old, Unread(unknown="the broker is away"), ()) == []


def test_reading_begins_where_the_slowest_group_is() -> None:
    committed = {
        "fast": {("imaging.studies", 0): 9, ("imaging.studies", 1): 7},
        "slow": {("imaging.studies", 0): 4},
        "other": {("somebody.elses", 0): 1},
        "none": {},
    }
    partitions = {"imaging.studies": 2, "imaging.instances": 2, "somebody.elses": 1}
    assert starts(committed, partitions) == {("imaging.studies", 0): 4, ("imaging.studies", 1): 0}


def test_old_studies_go_with_their_files_and_an_audit_event(store: InstanceStore, clock: Clock) -> None:
    asyncio.run(fill(store, clock))
    assert run_round(store, clock, Unread(frozenset({"1.2"}))) == 1
    assert asyncio.run(left(store)) == {"1.2", "1.3", "1.4"}
    events = [Codec().decode(row.message.value) for row in store.outbox.read(0, 100, 1 << 30)]
    (audit,) = [event for event in events if isinstance(event, AuditEvent)]
    assert (audit.code, audit.study_instance_uid) == ("110105", "1.1")
    assert audit.detail == {"who": "retention", "instances": "1"}
    wait_for(lambda: len(list((store.root / "instances").rglob("*.dcm"))) == 5, "the file to go")


def test_nothing_goes_when_the_backlog_is_not_known(store: InstanceStore, clock: Clock) -> None:
    asyncio.run(fill(store, clock))
    assert run_round(store, clock, Unread(unknown="consumer groups without a position: scanstream.streams")) == 0
    assert asyncio.run(left(store)) == {"1.1", "1.2", "1.3", "1.4"}


def test_a_study_with_events_in_the_outbox_stays(store: InstanceStore, clock: Clock) -> None:
    clock.now -= 40 * DAY_S
    asyncio.run(put(store, image()))
    clock.now += 40 * DAY_S
    assert run_round(store, clock, Unread()) == 0
    assert asyncio.run(left(store)) == {"1.2.3"}


def test_an_instance_that_comes_in_the_last_moment_saves_its_study(store: InstanceStore, clock: Clock) -> None:
    asyncio.run(fill(store, clock))

    def unread() -> Unread:
        asyncio.run(put(store, image(sop="1.1.2", study="1.1")))
        return Unread()

    assert Retention(store, 30.0, unread, clock).round() == 1
    assert asyncio.run(left(store)) == {"1.1", "1.3", "1.4"}


def test_a_kafka_that_is_away_ends_neither_the_thread_nor_anything_else(
    store: InstanceStore, clock: Clock
) -> None:
    asyncio.run(fill(store, clock))
    asked: list[int] = []

    def unread() -> Unread:
        asked.append(1)
        if len(asked) == 1:
            raise DestinationUnavailable("no broker")
        if len(asked) == 2:
            raise RuntimeError("unexpected")
        return Unread()

    retention = Retention(store, 30.0, unread, clock, every_s=0.05, after_start_s=0.0)
    retention.start()
    try:
        wait_for(lambda: asyncio.run(left(store)) == {"1.3", "1.4"}, "the old studies to go")
    finally:
        retention.close()
    assert len(asked) >= 3
