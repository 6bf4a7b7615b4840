"""Steps of a running task → live status events, outside of any transaction.

A status that is announced and then abandoned is told again under the same id, so readers recognise it.
"""

from __future__ import annotations

from contextlib import suppress

from producers.kafka import EventPublisher
from schemas import headers
from schemas.errors import DestinationUnavailable
from schemas.events import TaskState
from schemas.topics import Topic
from streams.clock import Clock
from streams.worker.answers import status
from streams.worker.backlog import Job


class Announcer:
    """Publishes that a job moved.

    Parameters
    ----------
    publisher
        Without transactions: what it publishes is seen at once.
    node
        Name of this node.
    clock
        Time.
    """

    def __init__(self, publisher: EventPublisher, node: str, clock: Clock) -> None:
        self._publisher = publisher
        self._node = node
        self._clock = clock

    def __call__(self, job: Job, state: TaskState) -> None:
        """Publish the state that a job enters."""
        moved = status(job.task, state, self._node, self._clock().utc)
        trace = headers.header(job.received.headers, "traceparent")
        self._publisher.publish(Topic.STATUS, job.task.task_id, moved, trace)

    def settle(self) -> None:
        """Wait until Kafka has what was announced, so that the final status comes after it."""
        with suppress(DestinationUnavailable):  # the transaction that follows meets the same, and decides
            self._publisher.flush(5.0)
