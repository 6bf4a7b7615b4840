"""Settlements → Kafka, several in one transaction; what could not be written stays here and is written later.

Guarantee: after a transaction whose end nobody heard, the committed offsets are looked up before anything is
written again, so no answer is written twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from producers.committed import ASK_S
from producers.kafka import EventPublisher
from producers.waiting import without_end
from schemas.errors import DestinationUnavailable
from schemas.logs import fields
from streams.worker.job import Job
from streams.worker.ledger import Ledger, Settlement
from streams.worker.partitions import Partitions

log = logging.getLogger(__name__)

#: Seconds that one attempt to reach Kafka may hold up the loop, and between two of them.
REACH_S: Final = 2.0
AGAIN_S: Final = 0.5

#: Settlements in one transaction, and seconds between two: each costs some milliseconds, however many it holds.
_MOST: Final = 50
_LINGER_S: Final = 0.05


@dataclass(frozen=True)
class Written:
    """A settlement that is committed; ``job`` is none where the message was no task."""

    settlement: Settlement
    job: Job | None


class Commits:
    """Settlements that are not committed yet.

    Parameters
    ----------
    partitions
        What is ours, and its books.
    ledger
        Writes transactions.
    publisher
        Transactional.
    before
        Called before each transaction, such as to let go first what must be seen before it.
    clock
        Monotonic seconds.
    left
        Seconds that are left after a request to stop.
    """

    def __init__(
        self,
        partitions: Partitions,
        ledger: Ledger,
        publisher: EventPublisher,
        before: Callable[[], None],
        clock: Callable[[], float],
        left: Callable[[], float] = without_end,
    ) -> None:
        self._left = left
        self._partitions = partitions
        self._ledger = ledger
        self._publisher = publisher
        self._before = before
        self._clock = clock
        self._waiting: list[Written] = []
        self._registered, self._certain = False, True
        self._not_before = self._linger_until = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def writable(self) -> bool:
        """Whether anything waits that is ours to write."""
        return any(self._partitions.is_ours(entry.settlement.received) for entry in self._waiting)

    def add(self, settlement: Settlement, job: Job | None = None) -> None:
        """Take what became of a message."""
        self._waiting.append(Written(settlement, job))

    def drop(self, jobs: Collection[Job]) -> None:
        """Books were begun anew: forget what is about these jobs, and what is no task, which is read again."""
        gone = set(jobs)
        for entry in self._waiting:
            if entry.job is None:
                self._partitions.gone(entry.settlement.received)
        self._waiting = [entry for entry in self._waiting if entry.job is not None and entry.job not in gone]

    def write(self, *, at_once: bool = False) -> list[Written]:
        """Commit what may be; returns what is committed now.

        Parameters
        ----------
        at_once
            Do not wait for company, as what is about an emergency never does.

        Raises
        ------
        PermanentRejection
            Another process took this one's place.
        """
        now = self._clock()
        hurry = at_once or any(entry.job is not None and entry.job.is_emergency for entry in self._waiting)
        if now < self._not_before or (now < self._linger_until and not hurry):
            return []
        try:
            self._reach_kafka()
            batch = [entry for entry in self._waiting if self._partitions.is_ours(entry.settlement.received)]
            batch.sort(key=lambda entry: entry.job is None or not entry.job.is_emergency)
            return self._write(batch[:_MOST]) if batch else []
        except DestinationUnavailable as error:
            self._not_before = self._clock() + AGAIN_S
            log.warning("answers not committed yet", extra=fields(reason=str(error), answers=len(self._waiting)))
            return []

    def _reach_kafka(self) -> None:
        """Register the transactional producer, and make sure of what is committed.

        A transaction that was left open is ended by it, so what is looked up afterwards is final.
        """
        if not self._registered:
            if self._certain:
                self._publisher.start(REACH_S)
            else:
                self._publisher.renew(REACH_S)
            self._registered = True
        if not self._certain:
            if self._left() < ASK_S:
                raise DestinationUnavailable("no time is left to look up what is committed")
            self._partitions.reopen()
            self._certain = True

    def _write(self, batch: list[Written]) -> list[Written]:
        settlements = [entry.settlement for entry in batch]
        books = self._partitions.books
        for settlement in settlements:
            books[settlement.received.partition].finish(settlement.received.offset)
        places = {settlement.received.partition for settlement in settlements}
        self._before()
        positions = books.to_commit(places)
        try:
            self._ledger.write(self._publisher, settlements, positions)
        except DestinationUnavailable:
            self._registered = self._certain = False
            raise
        self._partitions.committed(positions)
        done = set(map(id, batch))
        self._waiting = [entry for entry in self._waiting if id(entry) not in done]
        self._linger_until = self._clock() + _LINGER_S
        return batch
