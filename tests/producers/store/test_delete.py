from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from producers.store import ConflictPolicy, InstanceStore, PutKind
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable
from schemas.events import AuditEvent
from tests.producers.listener import ARRIVALS, data_set_of
from tests.producers.store.data import encoded, image, put
from tests.producers.store.test_conflict import Stores


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    found = Stores(tmp_path / "store")
    yield found
    found.close()


async def fill(store: InstanceStore) -> None:
    for series in (1, 2):
        for number in (1, 2, 3):
            await put(store, image(sop=f"1.2.3.{series}.{number}", SeriesInstanceUID=f"1.2.3.{series}"))
    await put(store, image(sop="5.1", study="5"))


def audits(store: InstanceStore) -> list[AuditEvent]:
    events = [Codec().decode(row.message.value) for row in store.outbox.read(0, 10_000, 1 << 30)]
    return [event for event in events if isinstance(event, AuditEvent)]


def files(store: InstanceStore) -> int:
    return len(list((store.root / "instances").rglob("*.dcm")))


async def test_instance_series_and_study_go_with_one_audit_event_each(stores: Stores) -> None:
    store = stores.open(ConflictPolicy.REJECT)
    await fill(store)
    assert await store.delete("1.2.3", "1.2.3.1", "1.2.3.1.2", who="dr.who") == 1
    assert len(await store.instances_of("1.2.3", "1.2.3.1")) == 2
    assert await store.delete("1.2.3", "1.2.3.1", who="dr.who") == 2
    assert [row["SeriesInstanceUID"] for row in await store.search("series", {"StudyInstanceUID": "1.2.3"})] == [
        "1.2.3.2"
    ]
    assert await store.delete("1.2.3", who="dr.who") == 3
    assert [row["StudyInstanceUID"] for row in await store.search("study", {})] == ["5"]
    assert [event.code for event in audits(store)] == ["110103", "110103", "110105"]
    assert [event.detail and event.detail["instances"] for event in audits(store)] == ["1", "2", "3"]
    assert {event.detail and event.detail["who"] for event in audits(store)} == {"dr.who"}
    assert {event.study_instance_uid for event in audits(store)} == {"1.2.3"}


async def test_what_is_not_there_is_not_deleted_nor_audited(stores: Stores) -> None:
    store = stores.open(ConflictPolicy.REJECT)
    await fill(store)
    assert await store.delete("7", who="x") == 0
    assert await store.delete("5", "1.2.3.1", "5.1", who="x") == 0
    assert audits(store) == []
    assert files(store) == 7


async def test_a_deleted_instance_may_come_again(stores: Stores) -> None:
    store = stores.open(ConflictPolicy.REJECT)
    await put(store, image())
    for _ in range(3):
        assert await store.delete("1.2.3", who="x") == 1
        assert (await put(store, image())).kind is PutKind.STORED
    (stored,) = await store.instances_of("1.2.3")
    assert data_set_of(stored) == encoded(image())
    store = stores.open(ConflictPolicy.REJECT)
    assert len(await store.instances_of("1.2.3")) == 1
    assert files(store) == 1


DIES_BEFORE_THE_FILES_GO = """
import asyncio, os, signal, sys
from pathlib import Path
from producers.store import InstanceStore
from producers.store.removals import Removals
from producers.telemetry import Telemetry

Removals.add = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
store = InstanceStore.open(Path(sys.argv[1]), lambda *_: [], Telemetry())
asyncio.run(store.delete("1.2.3", who="x"))
"""


async def test_a_kill_between_commit_and_files_brings_nothing_back(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stores.open(ConflictPolicy.REJECT)
    await fill(store)
    store.close()
    killed = subprocess.run(  # noqa: ASYNC221 - nothing else runs
        [sys.executable, "-c", DIES_BEFORE_THE_FILES_GO, str(store.root)], check=False, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL
    assert files(store) == 7, "the files were still there"
    store = stores.open(ConflictPolicy.REJECT)
    assert await store.instances_of("1.2.3") == []
    assert [row["StudyInstanceUID"] for row in await store.search("study", {})] == ["5"]
    assert files(store) == 1
    # and a file that cannot be removed is not taken in either
    (stored,) = await store.instances_of("5")
    store.close()
    with sqlite3.connect(store.root / "index.sqlite") as connection:
        connection.execute("DELETE FROM instances")
        connection.execute("INSERT INTO removals VALUES (?)", (stored.path.relative_to(store.root).as_posix(),))
    connection.close()
    with monkeypatch.context() as patch:
        patch.setattr("producers.store.removals._remove", lambda *_: False)
        store = stores.open(ConflictPolicy.REJECT)
        assert await store.instances_of("5") == []


async def test_names_of_removed_files_are_forgotten(stores: Stores) -> None:
    store = stores.open(ConflictPolicy.REJECT)
    await fill(store)
    await store.delete("1.2.3", who="x")
    store.close()
    with sqlite3.connect(store.root / "index.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM removals").fetchone() == (0,)
    connection.close()
    assert all(any(folder.iterdir()) for folder in (store.root / "instances").glob("*/*")), "no empty directory"


async def test_a_deletion_that_cannot_be_committed_deletes_nothing(tmp_path: Path) -> None:
    class Poison:
        def __getattr__(self, name: str) -> object:
            raise sqlite3.OperationalError("database or disk is full")

    store = InstanceStore.open(tmp_path / "s", ARRIVALS.stored, Telemetry(), audit=Poison())  # type: ignore[arg-type] # fails on purpose
    try:
        await put(store, image())
        with pytest.raises(DestinationUnavailable, match="disk"):
            await store.delete("1.2.3", who="x")
        (stored,) = await store.instances_of("1.2.3")
        assert data_set_of(stored) == encoded(image())
    finally:
        store.close()


async def test_files_restored_with_old_times_are_taken_in(stores: Stores, tmp_path: Path) -> None:
    store = stores.open(ConflictPolicy.REJECT)
    await fill(store)
    (stored,) = await store.instances_of("5")
    store.close()
    with sqlite3.connect(store.root / "index.sqlite") as connection:
        connection.execute("DELETE FROM instances WHERE StudyInstanceUID = '5'")
    connection.close()
    for path in (stored.path, stored.path.parent):
        os.utime(path, (0, 0))
    store = stores.open(ConflictPolicy.REJECT)
    assert len(await store.instances_of("5")) == 1
