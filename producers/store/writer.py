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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from producers.store.changes import Changes, Parents, outcome_of, place_of
from producers.store.files import sync_directories
from producers.store.jobs import Announcement, Deletion, Job, Put, Rules
from producers.store.outbox import Lane
from producers.store.outcome import PutKind, Status
from producers.store.removals import Removals
from schemas.logs import fields

log = logging.getLogger(__name__)

MAX_BATCH: Final = 1000
#: Published outbox rows are deleted with the next commit, or after this long without one.
_IDLE_S: Final = 1.0
#: A reader that has looked up an instance opens its file within this time, also when it was replaced meanwhile.
REPLACED_STAYS_S: Final = 60.0


class Writer:
    """The one thread that writes.

    Parameters
    ----------
    connection
        Owned by this object from now on.
    rules
        How the store does its work.
    committed
        Set at every commit that added outbox rows.
    clock
        Unix time in seconds.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        rules: Rules,
        committed: threading.Event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._rules = rules
        self._committed = committed
        self._clock = clock
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._parents = Parents()
        self._removals = Removals(rules.root)
        self._delete_through = dict.fromkeys(Lane, 0)
        self._deleted_through = dict.fromkeys(Lane, 0)
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

    def delete_through(self, lane: Lane, sequence: int) -> None:
        """Outbox rows of a lane up to this one may go."""
        self._delete_through[lane] = max(self._delete_through[lane], sequence)

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
            else:
                self._tidy()
            self._removals.sweep(self._clock())
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
            changes = self._transaction(jobs)
        except Exception as error:  # noqa: BLE001 - whatever happens, each sender gets an answer
            if len(jobs) > 1:
                # One bad job must not refuse its neighbours.
                for job in jobs:
                    self._commit([job])
                return
            log.error("the store could not commit", extra=fields(reason=str(error)))  # noqa: TRY400 - the sentence says it; no trace for a full disk
            sentence = f"the store could not commit: {type(error).__name__}"
            self._give(lambda: self._refuse(jobs[0], sentence))
            return
        now = self._clock()
        self._removals.add(changes.deleted, now)
        self._removals.add(changes.replaced, now + REPLACED_STAYS_S)
        for path in changes.leftover:
            _discard(path)
        if changes.announced:
            self._committed.set()
        for answer in changes.answers:
            self._give(answer)

    def _refuse(self, job: Job, sentence: str) -> None:
        if isinstance(job, Announcement):
            job.done(False)
        elif isinstance(job, Deletion):
            job.done(None)
        else:
            if not job.adopted:
                # It may have been moved before the commit failed; no row names it, and its sender is told.
                _discard(job.written.path)
                _discard(self._rules.root / place_of(self._rules.root, job))
            job.done(outcome_of(PutKind.REFUSED, Status.OUT_OF_RESOURCES, sentence, job.headers))

    def _give(self, answer: Callable[[], None]) -> None:
        """Whoever asked may be gone (its event loop is closed); those who come after still get their answers."""
        try:
            answer()
        except Exception as error:  # noqa: BLE001 - this thread must not end
            log.warning("nobody takes the answer of the store", extra=fields(reason=type(error).__name__))

    def _transaction(self, jobs: list[Job]) -> Changes:
        """Write all jobs in one commit."""
        changes = Changes(self._connection, self._rules, self._parents, self._clock())
        published = dict(self._delete_through)
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for job in jobs:
                changes.apply(job)
            self._delete_published(published)
            settled = self._removals.settle(self._connection, changes.touched)
            sync_directories(changes.touched)
            self._connection.execute("COMMIT")
        except BaseException:
            self._parents.clear()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._deleted_through = published
        self._removals.settled(settled)
        self._parents.bound()
        return changes

    def _delete_published(self, through: dict[Lane, int]) -> None:
        for lane, sequence in through.items():
            if sequence > self._deleted_through[lane]:
                self._connection.execute(
                    "DELETE FROM outbox WHERE lane = ? AND sequence <= ?", (int(lane), sequence)
                )

    def _tidy(self) -> None:
        """Nobody waits: remove what is published, and the names of files that are gone."""
        if self._delete_through == self._deleted_through and self._removals.is_settled:
            return
        try:
            self._transaction([])
        except (sqlite3.Error, OSError) as error:
            log.warning("published outbox rows not deleted yet", extra=fields(reason=str(error)))


def _discard(path: Path) -> None:
    """Remove a file that nobody needs."""
    # What cannot be removed now is found by the next start.
    with suppress(OSError):
        path.unlink(missing_ok=True)
