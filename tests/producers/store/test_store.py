from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from producers.store import Headers, InstanceStore, PutKind, Received, Status, StoredInstance, disk, index
from producers.store.index import StoredFile
from producers.store.outbox import Message
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.errors import ConfigurationError, InvalidMessage
from schemas.events import InstanceStored, Origin
from tests.producers.listener import ARRIVALS, data_set_of
from tests.producers.store.conftest import Opener
from tests.producers.store.data import DEMO, EXPLICIT, MALFORMED, PYDICOM, encoded, image, put, put_file, received


def announced(store: InstanceStore) -> list[InstanceStored]:
    rows = store.outbox.read(0, 10_000, 1 << 30)
    return [event for row in rows if isinstance(event := Codec().decode(row.message.value), InstanceStored)]


async def only(store: InstanceStore, study: str = "1.2.3") -> StoredInstance:
    (found,) = await store.instances_of(study)
    return found


@pytest.mark.parametrize("path", [DEMO[0], MALFORMED, PYDICOM / "CT_small.dcm", PYDICOM / "image_dfl.dcm"])
async def test_bytes_are_stored_as_received(store: InstanceStore, path: Path) -> None:
    outcome, data = await put_file(store, path)
    assert (outcome.kind, outcome.status) == (PutKind.STORED, Status.SUCCESS)
    stored = await only(store, str(outcome.study_instance_uid))
    assert data_set_of(stored) == data
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    assert stored.size_bytes == len(data)
    (event,) = announced(store)
    assert (event.sop_instance_uid, event.sha256, event.size_bytes) == (
        outcome.sop_instance_uid,
        stored.sha256,
        len(data),
    )
    assert event.retrieve_url.endswith(f"/instances/{outcome.sop_instance_uid}")


async def test_same_bytes_again_are_success_without_an_event(store: InstanceStore) -> None:
    assert (await put(store, image())).kind is PutKind.STORED
    again = await put(store, image())
    assert (again.kind, again.ok) == (PutKind.DUPLICATE, True)
    assert len(announced(store)) == 1
    assert list((store.root / "incoming").iterdir()) == []


async def test_other_bytes_under_the_same_uid_are_refused_and_the_first_kept(store: InstanceStore) -> None:
    await put(store, image())
    other = await put(store, image(StudyDescription="other"))
    assert (other.kind, other.status) == (PutKind.CONFLICT, Status.DUPLICATE_SOP_INSTANCE)
    assert data_set_of(await only(store)) == encoded(image())
    assert len(announced(store)) == 1
    assert list((store.root / "incoming").iterdir()) == []


async def test_many_at_once_share_commits_and_all_arrive(store: InstanceStore) -> None:
    images = [image(sop=f"1.2.3.{index % 150 + 1}") for index in range(200)]
    outcomes = await asyncio.gather(*(put(store, one) for one in images))
    kinds = [outcome.kind for outcome in outcomes]
    assert (kinds.count(PutKind.STORED), kinds.count(PutKind.DUPLICATE)) == (150, 50)
    assert len(await store.instances_of("1.2.3")) == 150
    assert len({event.sop_instance_uid for event in announced(store)}) == len(announced(store)) == 150


@pytest.mark.parametrize(
    ("said", "value"),
    [("sop_class_uid", "1.2.840.10008.5.1.4.1.1.2"), ("sop_instance_uid", "9.9"), ("study_instance_uid", "9.9")],
)
async def test_what_is_sent_as_something_else_is_refused(store: InstanceStore, said: str, value: str) -> None:
    outcome = await put(store, image(), **{said: value})
    assert (outcome.kind, outcome.status) == (PutKind.REFUSED, Status.DATA_SET_DOES_NOT_MATCH)
    assert announced(store) == []


async def test_garbage_is_refused_with_a_sentence(store: InstanceStore, caplog: pytest.LogCaptureFixture) -> None:
    outcome = await store.put(received(b"\x00\x01garbage" * 100))
    assert outcome.status is Status.CANNOT_UNDERSTAND
    assert outcome.sentence
    assert all(record.exc_info is None for record in caplog.records)


async def test_disk_above_the_mark_refuses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = InstanceStore.open(tmp_path / "s", ARRIVALS.stored, Telemetry(), refuse_fraction=0.000001)
    try:
        outcome = await put(store, image())
        assert (outcome.kind, outcome.status) == (PutKind.REFUSED, Status.OUT_OF_RESOURCES)
        await put(store, image())
    finally:
        store.close()
    assert sum("disk is full" in record.message for record in caplog.records) == 1


def test_watermark_has_three_states(tmp_path: Path) -> None:
    used, now = 0.5, 0.0
    mark = disk.Watermark(tmp_path, 0.9, 0.75, lambda _: used, lambda: now)
    assert not mark.refuses()
    used, now = 0.95, 0.5
    assert not mark.refuses(), "looks only once a second"
    now = 1.5
    assert mark.refuses()
    used, now = 0.8, 3.0
    assert not mark.refuses()


async def test_file_system_that_takes_no_more_refuses_and_leaves_nothing(
    store: InstanceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("producers.store.files.os.fsync", full)
        outcome = await put(store, image())
    assert outcome.status is Status.OUT_OF_RESOURCES
    assert list((store.root / "incoming").iterdir()) == []
    assert (await put(store, image())).ok


async def test_one_job_that_cannot_be_committed_does_not_refuse_its_neighbours(
    store: InstanceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = index.insert_instance

    def poisoned(connection: sqlite3.Connection, headers: Headers, stored: StoredFile) -> None:
        if headers.sop_instance_uid == "1.2.3.5":
            raise sqlite3.OperationalError("poison")
        insert(connection, headers, stored)

    monkeypatch.setattr(index, "insert_instance", poisoned)
    outcomes = await asyncio.gather(*(put(store, image(sop=f"1.2.3.{number}")) for number in range(1, 10)))
    assert [outcome.ok for outcome in outcomes].count(False) == 1
    assert len(await store.instances_of("1.2.3")) == 8
    assert len(list((store.root / "instances").rglob("*.dcm"))) == 8, "what was refused is not taken in later"


async def test_messages_that_cannot_be_made_refuse_and_leave_nothing(tmp_path: Path) -> None:
    def broken(*_: object) -> list[Message]:
        raise ValueError("unexpected")

    store = InstanceStore.open(tmp_path / "s", broken, Telemetry())
    try:
        assert (await put(store, image())).status is Status.PROCESSING_FAILURE
        assert list((store.root / "incoming").iterdir()) == []
    finally:
        store.close()


async def test_nothing_is_lost_by_closing_and_opening(open_store: Opener) -> None:
    store = open_store()
    await put(store, image())
    store = open_store()
    assert data_set_of(await only(store)) == encoded(image())
    assert (await put(store, image())).kind is PutKind.DUPLICATE
    assert len(announced(store)) == 1


async def test_whole_file_without_a_row_is_taken_in(open_store: Opener) -> None:
    """A crash between the rename and the commit, or a lost index."""
    store = open_store()
    await put(store, image(), calling_ae_title="SENDER", called_ae_title="US")
    (before,) = announced(store)
    root = store.root
    store.close()
    for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm"):
        (root / name).unlink(missing_ok=True)
    (root / "incoming" / "half").write_bytes(b"half a file")
    store = open_store()
    assert data_set_of(await only(store)) == encoded(image())
    (after,) = announced(store)
    assert (after.event_id, after.calling_ae_title, after.called_ae_title) == (before.event_id, "SENDER", "US")
    assert list((root / "incoming").iterdir()) == []


def lose_index(root: Path) -> None:
    for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm"):
        (root / name).unlink(missing_ok=True)


async def test_file_that_cannot_be_taken_in_now_is_kept(
    open_store: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is lost, and its disk is full while it is rebuilt: the only copy of an image must not go."""

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    store = open_store()
    await put(store, image())
    store.close()
    lose_index(store.root)
    with monkeypatch.context() as patch:
        patch.setattr(index, "insert_instance", full)
        InstanceStore.open(store.root, ARRIVALS.stored, Telemetry()).close()
    assert data_set_of(await only(open_store())) == encoded(image())


KILLED_IN_A_REBUILD = """
import os, signal, sys
from pathlib import Path
from producers.store import InstanceStore
from producers.telemetry import Telemetry

def announce(*_):
    global count
    count += 1
    if count == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return []

count = 0
InstanceStore.open(Path(sys.argv[1]), announce, Telemetry())
"""


async def test_rebuild_that_was_killed_goes_on(open_store: Opener) -> None:
    store = open_store()
    for study in ("1.1", "1.2", "1.3"):
        await put(store, image(sop=f"{study}.1", study=study))
        os.utime((await only(store, study)).path.parent, (0, 0))
    store.close()
    lose_index(store.root)
    killed = subprocess.run(  # noqa: ASYNC221 - nothing else runs
        [sys.executable, "-c", KILLED_IN_A_REBUILD, str(store.root)], check=False, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL
    store = open_store()
    for study in ("1.1", "1.2", "1.3"):
        assert data_set_of(await only(store, study)) == encoded(image(sop=f"{study}.1", study=study))
    assert not (store.root / "rebuilding").exists()


def test_sender_that_is_gone_does_not_stop_the_store(store: InstanceStore) -> None:
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    gone = loop.create_task(put(store, image()))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert not gone.done()
    assert asyncio.run(asyncio.wait_for(put(store, image(sop="1.2.3.5")), 30)).ok


async def test_missing_and_damaged_files_are_reported(
    open_store: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store()
    await put(store, image())
    stored = await only(store)
    stored.path.unlink()
    stored.path.with_name("1" * 32 + ".dcm").write_bytes(b"damaged")
    caplog.set_level(logging.INFO, "producers")
    store = open_store()
    report = next(record for record in caplog.records if record.message == "store opened")
    assert report.levelno == logging.ERROR
    assert report.fields["missing_files"] == 1  # type: ignore[attr-defined] # of our log records
    assert report.fields["unreadable"] == 1  # type: ignore[attr-defined] # as above
    # The same bytes again make it whole, without a second event.
    assert (await put(store, image())).kind is PutKind.DUPLICATE
    assert data_set_of(await only(store)) == encoded(image())
    assert len(announced(store)) == 1


async def test_sequence_grows_even_when_the_index_is_lost(open_store: Opener) -> None:
    store = open_store()
    await put(store, image())
    (first,) = store.outbox.read(0, 10, 1 << 20)
    root = store.root
    store.close()
    for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm"):
        (root / name).unlink(missing_ok=True)
    store = open_store()
    (again,) = store.outbox.read(0, 10, 1 << 20)
    assert again.sequence > first.sequence


async def test_published_rows_go_with_the_next_commit(store: InstanceStore) -> None:
    await put(store, image())
    (row,) = store.outbox.read(0, 10, 1 << 20)
    assert store.outbox.backlog(0)[0] == 1
    store.outbox.published(row.sequence)
    await put(store, image(sop="1.2.3.5"))
    rows = store.outbox.read(0, 10, 1 << 20)
    assert [row.sequence for row in rows] > [row.sequence]
    assert len(rows) == 1


async def test_reading_the_outbox_is_bounded(store: InstanceStore) -> None:
    for number in range(5):
        await put(store, image(sop=f"1.2.3.{number}"))
    assert len(store.outbox.read(0, 3, 1 << 20)) == 3
    assert len(store.outbox.read(0, 100, 1)) == 1


def test_two_processes_cannot_open_one_store(store: InstanceStore) -> None:
    with pytest.raises(ConfigurationError, match="open in another process"):
        InstanceStore.open(store.root, ARRIVALS.stored, Telemetry())


def test_unusable_directory_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="SCANSTREAM_DATA_DIR"):
        InstanceStore.open(tmp_path / "file", ARRIVALS.stored, Telemetry())
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "index.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(ConfigurationError, match="rebuilt"):
        InstanceStore.open(tmp_path / "s", ARRIVALS.stored, Telemetry())


async def test_artifacts_are_content_addressed(store: InstanceStore) -> None:
    data = b"mask" * 1000
    digest = hashlib.sha256(data).hexdigest()
    assert store.artifact_path(digest) is None
    assert await store.put_artifact(digest, data) is True
    assert await store.put_artifact(digest, data) is False
    path = store.artifact_path(digest)
    assert path is not None
    assert path.read_bytes() == data
    with pytest.raises(InvalidMessage):
        await store.put_artifact(digest, b"other")
    for wrong in ("../../index.sqlite", "a", digest.upper(), f"{digest}\n"):
        assert store.artifact_path(wrong) is None


async def test_no_identity_in_logs_keys_headers_and_values(
    store: InstanceStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await put(store, image())
    await put(store, image(StudyDescription="other"))
    await store.put(received(encoded(image(sop="1.2.3.9"))[:100]))
    (row,) = store.outbox.read(0, 10, 1 << 20)
    outside = [row.message.key, row.message.value, *(value for _, value in row.message.headers)]
    outside += [f"{record.message} {vars(record)}".encode() for record in caplog.records]
    assert all(b"SECRET" not in part for part in outside)


async def test_spool_beyond_memory_is_stored_whole(store: InstanceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.store.spool.MEMORY_BYTES", 100_000)
    data = encoded(image(PixelData=bytes(range(256)) * 4000))
    spool = store.new_spool()
    for start in range(0, len(data), 16_000):
        spool.append(data[start : start + 16_000])
    outcome = await store.put(Received(spool, EXPLICIT, Origin.STOW_RS))
    assert outcome.ok
    assert data_set_of(await only(store)) == data
