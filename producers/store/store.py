"""DICOM instances → durable files, an index that can be searched, and an outbox of events.

Guarantee: an instance is answered with success only when its bytes, as received, are on disk together with its
index row and its outbox row; whatever happens to the process, it is then there, whole, and its event is published.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from producers.store import artifacts, database, index, outbox, query
from producers.store.attributes import Level
from producers.store.conditions import LITERAL, Matching
from producers.store.disk import Watermark
from producers.store.files import ARTIFACTS, INCOMING, INSTANCES
from producers.store.index import StoredInstance
from producers.store.intake import Intake, refusal
from producers.store.jobs import Announce, Announcement, Auditor, Deletion, Rules
from producers.store.memory import DEFAULT_BYTES, Memory
from producers.store.outbox import Message, Outbox
from producers.store.outcome import ConflictPolicy, PutOutcome, Received, Status
from producers.store.reconcile import reconcile
from producers.store.spool import Spool
from producers.store.writer import Writer
from producers.telemetry import Telemetry
from schemas.errors import ConfigurationError, DestinationUnavailable
from schemas.logs import fields

log = logging.getLogger(__name__)

#: Threads that write and fsync files; they wait for the disk, not for the processor.
_FILE_THREADS: Final = 8
_READ_THREADS: Final = 2

Row = dict[str, Any]
T = TypeVar("T")


class InstanceStore:
    """The gateway's store; open it with :meth:`open`.

    All ``async`` methods may be called from any event loop, all others from any thread.
    """

    def __init__(
        self,
        root: Path,
        lock: int,
        writer: Writer,
        readers: database.Readers,
        box: Outbox,
        watermark: Watermark,
        telemetry: Telemetry,
        intake: Intake,
        memory: Memory,
    ) -> None:
        self.root = root
        self.outbox = box
        self._lock: int | None = lock
        self._writer = writer
        self._readers = readers
        self._watermark = watermark
        self._telemetry = telemetry
        self._intake = intake
        self._memory = memory
        self._files = ThreadPoolExecutor(_FILE_THREADS, thread_name_prefix="store-file")
        self._queries = ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="store-read")

    @classmethod
    def open(
        cls,
        root: Path,
        announce: Announce,
        telemetry: Telemetry,
        *,
        refuse_fraction: float = 0.90,
        warn_fraction: float = 0.75,
        conflict_policy: ConflictPolicy = ConflictPolicy.REJECT,
        audit: Auditor | None = None,
        memory_bytes: int = DEFAULT_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> InstanceStore:
        """Open or create the store in a directory, and make it consistent.

        Parameters
        ----------
        root
            Directory; only one process at a time may have it open.
        announce
            Messages that a new instance puts into the outbox.
        telemetry
            Counts instances stored and refused.
        refuse_fraction, warn_fraction
            Marks of disk use, 0 to 1.
        conflict_policy
            What becomes of other bytes under a known SOP Instance UID.
        audit
            Makes the audit events, which go into the outbox; ``None`` writes none.
        memory_bytes
            Bound on data sets under way in memory, in all; the rest of them grows on disk.
        clock
            Unix time in seconds.

        Raises
        ------
        ConfigurationError
            The directory cannot be used, or another process has it open.
        """
        try:
            for name in (INSTANCES, INCOMING, ARTIFACTS):
                (root / name).mkdir(parents=True, exist_ok=True)
            lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT, 0o640)
        except OSError as error:
            raise ConfigurationError(
                f"the store {root} cannot be used ({error.strerror}): set SCANSTREAM_DATA_DIR to a directory "
                "that this process may write to"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise ConfigurationError(
                f"the store {root} is open in another process: stop that gateway or set SCANSTREAM_DATA_DIR"
            ) from error
        path = root / "index.sqlite"
        connection = database.open_writer(path)
        outbox.continue_from(connection, int(clock() * 1_000_000))
        identity = database.identity_of(connection)
        readers = database.Readers(path)
        committed = threading.Event()
        writer = Writer(connection, Rules(root, announce, audit, conflict_policy), committed, clock)
        intake = Intake(root, announce, writer, clock)
        reconcile(connection, root, intake.adopt)
        writer.start()
        box = Outbox(readers, committed, writer.delete_through, identity)
        watermark = Watermark(root, refuse_fraction, warn_fraction, on_warning=_telling(audit, writer, clock))
        return cls(root, lock, writer, readers, box, watermark, telemetry, intake, Memory(memory_bytes))

    def is_full(self) -> bool:
        """Whether the disk is above the upper mark, so that nothing can be stored now."""
        return self._watermark.refuses()

    def new_spool(self) -> Spool:
        """Place for the data set of an instance that is being received."""
        return Spool(self.root / INCOMING, self._watermark.refuses, self._memory)

    async def put(self, received: Received) -> PutOutcome:
        """Store an instance; returns when it is durable or refused. Never raises for what a sender sent."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[PutOutcome] = loop.create_future()

        def done(outcome: PutOutcome) -> None:
            loop.call_soon_threadsafe(_set, answer, outcome)

        if self._watermark.refuses():
            received.data_set.close()
            outcome = refusal(Status.OUT_OF_RESOURCES, "the disk is full to the mark: free space, then send again")
        else:
            self._files.submit(self._intake.take, received, done)
            outcome = await answer
        self._count(received, outcome)
        return outcome

    async def announce(self, messages: Sequence[Message]) -> None:
        """Put messages into the outbox, after everything that was stored before.

        Raises
        ------
        DestinationUnavailable
            They could not be written.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bool] = loop.create_future()
        self._writer.submit(Announcement(tuple(messages), lambda written: _call(loop, answer, written)))
        if not await answer:
            raise DestinationUnavailable("the outbox could not be written: check the disk of SCANSTREAM_DATA_DIR")

    async def search(
        self,
        level: Level,
        filters: Mapping[str, str],
        limit: int | None = None,
        offset: int = 0,
        matching: Matching = LITERAL,
    ) -> list[Row]:
        """Rows that match (see :func:`producers.store.query.build`); keys are DICOM keywords, text is Unicode.

        A row of a level holds the attributes of the levels above, and ``ModalitiesInStudy`` (comma separated),
        ``NumberOfStudyRelatedSeries``, ``NumberOfStudyRelatedInstances``, ``NumberOfSeriesRelatedInstances`` where
        they belong; an instance row holds ``transfer_syntax_uid``.

        Raises
        ------
        InvalidMessage
            A keyword cannot be matched at this level.
        """
        text, parameters = query.build(level, filters, limit, offset, matching)
        return await self.reading(lambda index: [dict(row) for row in index.execute(text, parameters)])

    async def count(
        self, level: Level, filters: Mapping[str, str], most: int, matching: Matching = LITERAL
    ) -> int:
        """How many rows :meth:`search` would find, counted up to ``most``."""
        text, parameters = query.build_count(level, filters, most, matching)
        return await self.reading(lambda index: int(index.execute(text, parameters).fetchone()[0]))

    async def instances_of(
        self, study: str, series: str | None = None, sop: str | None = None
    ) -> list[StoredInstance]:
        """Instances of a study, a series or one instance, with their files; empty when there are none."""
        return await self.reading(lambda found: index.instances_of(found, self.root, study, series, sop))

    async def reading(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something with a read-only connection to the index, in one of the threads for that."""

        def run() -> T:
            return work(self._readers.connection())

        return await asyncio.get_running_loop().run_in_executor(self._queries, run)

    async def studies_before(self, moment: float, limit: int) -> list[str]:
        """Studies whose last instance was stored before a moment (Unix seconds), the oldest first."""

        def run() -> list[str]:
            return index.studies_before(self._readers.connection(), moment, limit)

        return await asyncio.get_running_loop().run_in_executor(self._queries, run)

    async def delete(
        self,
        study: str,
        series: str | None = None,
        sop: str | None = None,
        *,
        who: str,
        stored_before: float | None = None,
    ) -> int:
        """Delete a study, a series or one instance, with an audit event; returns how many instances went.

        When it returns they cannot be found any more, whatever happens to the process; their files go at once.

        Parameters
        ----------
        study, series, sop
            UIDs; ``None`` is all below.
        who
            Account, AE title or process that decided it, for the audit event.
        stored_before
            Unix time in seconds; nothing goes when any instance of the study is younger.

        Raises
        ------
        DestinationUnavailable
            It could not be committed; nothing is deleted.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[int | None] = loop.create_future()
        self._writer.submit(
            Deletion(study, series, sop, who, lambda count: _call(loop, answer, count), stored_before)
        )
        count = await answer
        if count is None:
            raise DestinationUnavailable("the index could not be written: check the disk of SCANSTREAM_DATA_DIR")
        return count

    def artifact_path(self, sha256: str) -> Path | None:
        """File of an artifact, or ``None`` when there is none."""
        return artifacts.existing(self.root, sha256)

    async def put_artifact(self, sha256: str, data: bytes) -> bool:
        """Store an artifact durably; returns whether it is new. Storing it again is the same.

        Raises
        ------
        InvalidMessage
            The bytes do not have this digest.
        DestinationUnavailable
            The disk is full.
        """
        if self._watermark.refuses():
            raise DestinationUnavailable("the gateway's disk is full to the mark: free space", 30.0)
        return await asyncio.get_running_loop().run_in_executor(
            self._files, artifacts.put, self.root, sha256, data
        )

    def close(self) -> None:
        """Finish what was begun, then close everything; closing again does nothing."""
        if self._lock is None:
            return
        self._files.shutdown(wait=True)
        self._writer.close()
        self._queries.shutdown(wait=True)
        self._readers.close()
        os.close(self._lock)
        self._lock = None

    def _count(self, received: Received, outcome: PutOutcome) -> None:
        origin = received.origin.value
        if outcome.is_new:
            self._telemetry.count("scanstream_instances_stored_total", origin=origin)
        elif not outcome.ok:
            self._telemetry.count(
                "scanstream_instances_refused_total", origin=origin, status=f"{outcome.status:04X}"
            )
            log.warning(
                "instance refused",
                extra=fields(
                    status=f"{outcome.status:04X}",
                    reason=outcome.sentence,
                    study_instance_uid=outcome.study_instance_uid,
                    sop_instance_uid=outcome.sop_instance_uid,
                    association_id=received.association_id,
                ),
            )


def _telling(audit: Auditor | None, writer: Writer, clock: Callable[[], float]) -> Callable[[float], None] | None:
    """Puts an audit event into the outbox when the disk fills up; nobody waits for it."""
    if audit is None:
        return None
    return lambda used: writer.submit(Announcement((audit.disk_filling(used, clock()),), lambda _: None))


def _set(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)


def _call(loop: asyncio.AbstractEventLoop, future: asyncio.Future[T], value: T) -> None:
    loop.call_soon_threadsafe(_set, future, value)
