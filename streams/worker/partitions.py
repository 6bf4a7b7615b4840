"""Partitions that are ours → what of the tasks in hand is still ours, and how far to read ahead.

A rebalance takes nothing away that comes back: a task whose partition stays is worked on, and its message is
passed over when it is read again. Guarantee: a task is answered only while its partition is ours, and one that
somebody answered meanwhile, or we without hearing of it, is let go.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from producers.assigned_books import AssignedBooks, Place
from producers.kafka_errors import kafka_errors
from producers.membership import Membership
from schemas.logs import fields
from schemas.topics import TASK_TOPICS, Priority
from streams.worker.job import Job, Received

log = logging.getLogger(__name__)

#: How long a rebalance may take in which partitions come back, in seconds, before the worker says it has none.
REBALANCE_S: Final = 5.0

#: Share of a bound below which reading goes on; each pause throws away what was fetched.
_RESUME_SHARE: Final = 0.9


@dataclass(frozen=True)
class ReadAhead:
    """How much of each class is read before it is worked on, so that no class keeps another from being read."""

    tasks: int = 5000
    value_bytes: int = 32 * 1024 * 1024


class Partitions:
    """Assigned partitions of the task topics.

    Parameters
    ----------
    consumer
        Of the workers' group.
    classes
        What this worker serves.
    held
        All jobs in hand.
    let_go
        Told of the jobs that are not ours any more, or answered.
    stop
        Ends the waiting for committed offsets.
    read_ahead
        How much is read before it is worked on.
    clock
        Monotonic seconds.

    Attributes
    ----------
    joined
        Whether the group gave this worker its part once, be it none.
    books
        What was read and finished, by partition.
    """

    def __init__(
        self,
        consumer: Consumer,
        classes: Iterable[Priority],
        held: Callable[[], Iterable[Job]],
        let_go: Callable[[list[Job]], None],
        stop: threading.Event,
        read_ahead: ReadAhead | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.joined = False
        self.books = AssignedBooks(consumer, stop)
        self._consumer = consumer
        self._membership = Membership(consumer)
        self._topics = {TASK_TOPICS[priority].value for priority in classes}
        self._held = held
        self._let_go = let_go
        self._read_ahead = read_ahead or ReadAhead()
        self._clock = clock
        self._back_until = 0.0
        self._first: dict[Place, int] = {}
        self._full: set[str] = set()
        self._tasks: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    def subscribe(self) -> None:
        """Join the group."""
        self._membership.subscribe(sorted(self._topics), came=self._came, went=self._went, lost=self._lost)

    def check(self) -> None:
        """See that the consumer is still in its group.

        Raises
        ------
        DestinationUnavailable
            It is out for good: begin anew.
        """
        self._membership.check()

    @property
    def serving(self) -> bool:
        """Whether partitions are ours, or went so lately in a rebalance that they may be back in a moment."""
        return bool(self.books.places()) or self._clock() < self._back_until

    def is_ours(self, received: Received) -> bool:
        """Whether the partition of a message is assigned."""
        return received.partition in self.books

    def take(self, received: Received) -> bool:
        """Note that a message was read; ``False`` where it is not ours, in hand already, or finished."""
        if not self._enter(received):
            return False
        self._count(received, 1)
        return True

    def gone(self, received: Received) -> None:
        """Note that a message is not in hand any more."""
        self._count(received, -1)

    def committed(self, positions: Iterable[TopicPartition]) -> None:
        """Note what is committed: everything before it is answered.

        After a rebalance what is in hand is read once more, and may be answered before that; a book would take it
        for something new.
        """
        self._first |= {(place.topic, place.partition): place.offset for place in positions}

    @kafka_errors("read from the committed offsets on")
    def reopen(self) -> None:
        """Look up what is committed, after a transaction whose end nobody heard, and read on from there.

        Tasks in hand are passed over; what is no task, or could not be decoded, is in no book and is read again.

        Raises
        ------
        DestinationUnavailable
            The broker did not tell it.
        """
        committed = self.books.open([TopicPartition(*place) for place in self.books.places()])
        self._sort_out(committed)
        for place in committed:
            offset = place.offset if place.offset >= 0 else OFFSET_BEGINNING
            self._consumer.seek(TopicPartition(place.topic, place.partition, offset))

    def steer(self, *, hold: bool) -> None:
        """Pause everything (``hold``), or the classes of which enough is in hand."""
        for topic in self._topics:
            most, most_bytes = self._read_ahead.tasks, self._read_ahead.value_bytes
            share = _RESUME_SHARE if topic in self._full else 1.0
            if self._tasks[topic] >= most * share or self._bytes[topic] >= most_bytes * share:
                self._full.add(topic)
            else:
                self._full.discard(topic)
        self.books.pause({place for place in self.books.places() if hold or place[0] in self._full})

    def _came(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        committed = self.books.open(partitions)
        self.joined = True
        self._back_until = 0.0
        log.info("partitions assigned", extra=fields(count=len(partitions)))
        self._sort_out(committed)

    @kafka_errors("give partitions back")
    def _went(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Nothing may be committed until partitions come again; what is theirs then goes on."""
        if self.books.places():
            self._back_until = self._clock() + REBALANCE_S
        self.books.close(partitions)
        log.info("partitions revoked", extra=fields(count=len(partitions)))

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Somebody else may have them already."""
        self._went(consumer, partitions)
        self._back_until = 0.0

    def _sort_out(self, committed: Iterable[TopicPartition]) -> None:
        """Enter what is in hand into new books; what has no place in them is let go."""
        self.committed(committed)
        gone = [
            job
            for job in sorted(self._held(), key=lambda job: job.received.offset)
            if not self._enter(job.received)
        ]
        self._let_go(gone)

    def _enter(self, received: Received) -> bool:
        """Whether a message is ours, unanswered, and new to its book."""
        if not self.is_ours(received) or received.offset < self._first[received.partition]:
            return False
        return self.books[received.partition].take(received.offset)

    def _count(self, received: Received, step: int) -> None:
        topic = received.partition.topic
        self._tasks[topic] += step
        self._bytes[topic] += step * len(received.value or b"")
