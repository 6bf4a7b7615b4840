"""Moves of a running task, and what shadows say → events, outside of any transaction.

A status that is announced and then abandoned is told again under the same id, so readers recognise it. While Kafka
takes nothing and the queue is full, moves are not told; what became of a task always is.
"""

from __future__ import annotations

from contextlib import suppress

from producers.kafka import EventPublisher
from schemas import headers
from schemas.errors import DestinationUnavailable
from schemas.events import TaskStatus
from schemas.topics import Topic
from streams.worker.job import Job
from streams.worker.protocol import Aside


class Announcer:
    """Publishes that a job moved.

    Parameters
    ----------
    publisher
        Without transactions: what it publishes is seen at once.
    """

    def __init__(self, publisher: EventPublisher) -> None:
        self._publisher = publisher
        self._unsettled = False

    def __call__(self, job: Job, moved: TaskStatus) -> None:
        """Publish the state that a job enters."""
        trace = headers.header(job.received.headers, "traceparent")
        with suppress(DestinationUnavailable):
            self._publisher.publish(Topic.STATUS, job.task.task_id, moved, trace)
            self._unsettled = True

    def aside(self, message: Aside) -> None:
        """Publish what belongs to no move; the same thing always has the same id."""
        with suppress(DestinationUnavailable):
            self._publisher.publish(message.topic, message.key, message.event)

    def close(self) -> None:
        """Wait until Kafka has all that was said, by whoever shares the publisher."""
        self._unsettled = True
        self.settle()

    def settle(self) -> None:
        """Wait until Kafka has what was announced, so that the final status comes after it."""
        if self._unsettled:
            with suppress(DestinationUnavailable):  # the transaction that follows meets the same, and decides
                self._publisher.flush(5.0)
                self._unsettled = False
