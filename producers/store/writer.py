"""Durable files + headers → rows of the index and the outbox, many in one commit.

One thread owns the writing connection. While it commits, further puts queue up and make the next batch (group
commit), so the cost of an fsync is shared by everyone who waits for it. A put is answered only after its file, its
directory and its rows are on disk.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from producers.store import index, outbox
from producers.store.files import INCOMING, Written, instance_file, move_into_place, sync_directories
from producers.store.headers import Headers
from producers.store.index import StoredFile
from producers.store.outbox import Message
from producers.store.outcome import PutKind, PutOutcome, Received, Status
from schemas.logs import fields

log = logging.getLogger(__name__)

MAX_BATCH: Final = 1000
#: Published outbox rows are deleted with the next commit, or after this long without one.
_IDLE_S: Final = 1.0

T = TypeVar("T")

Announce = Callable[[Received, Headers, Written, float], Sequence[Message]]


@dataclass(frozen=True)
class Put:
    """An instance whose file waits in ``incoming``; ``done`` is called once, from the writer's thread."""

    received: Received
    headers: Headers
    written: Written
    done: Callable[[PutOutcome], None]


@dataclass(frozen=True)
class Announcement:
    """Messages for the outbox that belong to no instance; ``done(False)`` means that they were not written."""

    messages: tuple[Message, ...]
    done: Callable[[bool], None]


Job = Put | Announcement


class Writer:
    """The one thread that writes.

    Parameters
    ----------
    connection
        Owned by this object from now on.
    root
        Directory of the store.
    announce
        Messages that an instance puts into the outbox; gets the Unix time of storing last.
    committed
        Set at every commit that added outbox rows.
    clock
        Unix time in seconds.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        root: Path,
        announce: Announce,
        committed: threading.Event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._root = root
        self._announce = announce
        self._committed = committed
        self._clock = clock
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._delete_through = 0
        self._deleted_through = 0
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job; never waits."""
        self._jobs.put(job)

    def write_now(self, job: Put) -> None:
        """Write one job in the calling thread; only before :meth:`start`."""
        self._commit([job])

    def delete_through(self, sequence: int) -> None:
        """Outbox rows up to this one may go."""
        self._delete_through = max(self._delete_through, sequence)

    def close(self) -> None:
        """Finish what is queued and close the connection."""
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while True:
            jobs, last = self._next_jobs()
            if jobs:
                self._commit(jobs)
            elif self._delete_through > self._deleted_through:
                self._delete_published()
            if last:
                return

    def _next_jobs(self) -> tuple[list[Job], bool]:
        """Everything that waits, and whether it is the end."""
        jobs: list[Job] = []
        try:
            job = self._jobs.get(timeout=_IDLE_S)
            while len(jobs) < MAX_BATCH:
                if job is None:
                    return jobs, True
                jobs.append(job)
                job = self._jobs.get_nowait()
            self._jobs.put(job)
        except queue.Empty:
            pass
        return jobs, False

    def _commit(self, jobs: list[Job]) -> None:
        try:
            answers = self._transaction(jobs)
        except Exception as error:  # noqa: BLE001 - whatever happens, each sender gets an answer
            if len(jobs) > 1:
                # One bad job must not refuse its neighbours.
                for job in jobs:
                    self._commit([job])
                return
            log.error("instance not stored: the store could not commit", extra=fields(reason=str(error)))  # noqa: TRY400 - the sentence says it; no trace for a full disk
            sentence = f"the store could not commit: {type(error).__name__}"
            self._give(lambda: self._refuse(jobs[0], sentence))
            return
        self._deleted_through = self._delete_through
        for answer in answers:
            self._give(answer)

    def _refuse(self, job: Job, sentence: str) -> None:
        if isinstance(job, Announcement):
            job.done(False)
            return
        self._discard(job.written.path)
        job.done(_outcome(PutKind.REFUSED, Status.OUT_OF_RESOURCES, job.headers, sentence))

    def _give(self, answer: Callable[[], None]) -> None:
        """Whoever asked may be gone (its event loop is closed); those who come after still get their answers."""
        try:
            answer()
        except Exception as error:  # noqa: BLE001 - this thread must not end
            log.warning("nobody takes the answer of the store", extra=fields(reason=type(error).__name__))

    def _discard(self, path: Path) -> None:
        """Remove a file that waits in ``incoming``; one in its place may be the only copy, and stays."""
        if path.parent == self._root / INCOMING:
            # What cannot be removed now is removed by the next start.
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _transaction(self, jobs: list[Job]) -> list[Callable[[], None]]:
        """Write all jobs in one commit; the returned answers may be given once it has succeeded."""
        answers: list[Callable[[], None]] = []
        touched: set[Path] = set()
        leftover: list[Path] = []
        now = self._clock()
        added = False
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for job in jobs:
                messages: Sequence[Message]
                if isinstance(job, Announcement):
                    messages = job.messages
                    answers.append(_answer(job.done, True))
                else:
                    kind, messages = self._put(job, now, touched)
                    if kind is not PutKind.STORED:
                        leftover.append(job.written.path)
                    answers.append(_answer(job.done, _answer_to(kind, job.headers)))
                for message in messages:
                    outbox.add(self._connection, message, now)
                    added = True
            self._connection.execute("DELETE FROM outbox WHERE sequence <= ?", (self._delete_through,))
            sync_directories(touched)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        for path in leftover:
            self._discard(path)
        if added:
            self._committed.set()
        return answers

    def _put(self, job: Put, now: float, touched: set[Path]) -> tuple[PutKind, Sequence[Message]]:
        headers, written = job.headers, job.written
        syntax = job.received.transfer_syntax_uid
        before = index.known(self._connection, headers.sop_instance_uid)
        if before is not None:
            digest, known_syntax, file = before
            if (digest, known_syntax) != (written.sha256, syntax):
                return PutKind.CONFLICT, ()
            if not (self._root / file).is_file():
                # Somebody removed the file; the same bytes came again, so it is whole again.
                move_into_place(written.path, self._root / file, touched)
            return PutKind.DUPLICATE, ()
        file = instance_file(headers.study_instance_uid, headers.sop_instance_uid)
        if written.path != self._root / file:
            move_into_place(written.path, self._root / file, touched)
        stored = StoredFile(syntax, file, written.header_bytes, written.size_bytes, written.sha256, now)
        index.insert(self._connection, headers, stored)
        return PutKind.STORED, self._announce(job.received, headers, written, now)

    def _delete_published(self) -> None:
        try:
            self._connection.execute("DELETE FROM outbox WHERE sequence <= ?", (self._delete_through,))
            self._deleted_through = self._delete_through
        except sqlite3.Error as error:
            log.warning("published outbox rows not deleted yet", extra=fields(reason=str(error)))


def _answer(done: Callable[[T], None], value: T) -> Callable[[], None]:
    return lambda: done(value)


def _answer_to(kind: PutKind, headers: Headers) -> PutOutcome:
    if kind is PutKind.CONFLICT:
        sentence = "another instance with this SOP Instance UID is stored already; the first one is kept"
        return _outcome(kind, Status.DUPLICATE_SOP_INSTANCE, headers, sentence)
    return _outcome(kind, Status.SUCCESS, headers)


def _outcome(kind: PutKind, status: Status, headers: Headers, sentence: str = "") -> PutOutcome:
    return PutOutcome(
        kind,
        status,
        sentence,
        headers.study_instance_uid,
        headers.series_instance_uid,
        headers.sop_instance_uid,
        headers.sop_class_uid,
    )
