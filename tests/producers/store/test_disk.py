"""The disk fills up: refused in time, told once, and nothing lost when a write fails all the same."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from producers.audit_events import AuditEvents
from producers.store import InstanceStore, PutKind, Status, disk
from producers.store.database import open_writer
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable
from schemas.events import AuditEvent
from tests.producers.listener import ARRIVALS, data_set_of
from tests.producers.store.data import encoded, image, put
from tests.services import wait_for


def test_the_warning_comes_once_and_again_only_after_the_disk_was_below_the_mark(tmp_path: Path) -> None:
    moments = enumerate((0.74, 0.76, 0.8, 0.95, 0.8, 0.7, 0.76, 0.5, 0.99), start=1)
    used, now = 0.0, 0.0
    told: list[float] = []
    mark = disk.Watermark(tmp_path, 0.9, 0.75, lambda _: used, lambda: now, told.append)
    for moment, fraction in moments:
        now, used = float(moment), fraction
        mark.refuses()
    assert told == [0.76, 0.76, 0.99]


async def test_the_warning_is_an_audit_event(tmp_path: Path) -> None:
    audit = AuditEvents("site-1", "node-1", "/site-1/node-1/gateway")
    store = InstanceStore.open(
        tmp_path / "s", ARRIVALS.stored, Telemetry(), audit=audit, refuse_fraction=1.0, warn_fraction=0.000001
    )
    try:
        assert (await put(store, image())).ok
        assert (await put(store, image(sop="1.2.3.5"))).ok
        events = [Codec().decode(row.message.value) for row in store.outbox.read(0, 100, 1 << 30)]
        (told,) = [event for event in events if isinstance(event, AuditEvent)]
        assert (told.code, told.outcome) == ("110100", 4)
        assert told.detail is not None
        assert float(told.detail["used_percent"]) > 0
    finally:
        store.close()


async def test_an_index_that_takes_no_more_refuses_keeps_what_was_there_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = InstanceStore.open(tmp_path / "s", ARRIVALS.stored, Telemetry())
    try:
        assert (await put(store, image())).ok
        before = store._writer._connection.execute("PRAGMA page_count").fetchone()[0]
        store._writer._connection.execute(f"PRAGMA max_page_count={before}")
        outcomes = [await put(store, image(sop=f"1.2.4.{number}", study="1.2.4")) for number in range(200)]
        refused = [outcome for outcome in outcomes if not outcome.ok]
        assert refused
        assert {outcome.status for outcome in refused} == {Status.OUT_OF_RESOURCES}
        stored = sum(outcome.ok for outcome in outcomes)
        assert len(list((store.root / "instances").rglob("*.dcm"))) == 1 + stored
        assert list((store.root / "incoming").iterdir()) == []
        store._writer._connection.execute("PRAGMA max_page_count=1000000000")
        for number in range(200):
            again = await put(store, image(sop=f"1.2.4.{number}", study="1.2.4"))
            assert again.kind in (PutKind.STORED, PutKind.DUPLICATE)
        (first,) = await store.instances_of("1.2.3")
        assert data_set_of(first) == encoded(image())
        wait_for(lambda: store.outbox.backlog(0)[0] == 201, "an event for each")
    finally:
        store.close()


def test_an_index_that_cannot_be_opened_on_a_full_disk_is_no_wrong_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr("producers.store.database.migrate", full)
    with pytest.raises(DestinationUnavailable, match="free space"):
        open_writer(tmp_path / "index.sqlite")
