"""What a stream process does with the messages of one input partition, apart from Kafka.

An implementation is a pure state machine: messages and moments go in, events to publish and changelog records come
out. The transaction that carries them is :mod:`streams.transactions`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from schemas.events import AssemblyState, Event
from schemas.metrics import MetricName
from schemas.topics import Topic
from streams.clock import Instant


@dataclass(frozen=True)
class Output:
    """One event to publish."""

    topic: Topic
    key: str
    event: Event
    traceparent: str | None = None


class Received(NamedTuple):
    """One decoded message; ``offset`` is its place in the partition."""

    event: Event
    offset: int
    traceparent: str | None = None


class Change(NamedTuple):
    """New value of a changelog key; ``None`` forgets it."""

    key: str
    state: AssemblyState | None


class PartitionLogic(Protocol):
    """State machine of one input partition."""

    def accept(self, received: Received, at: Instant) -> None:
        """Take a message in.

        Raises
        ------
        InvalidMessage
            The event does not belong here; it goes to the dead-letter topic.
        """
        ...

    def due(self, behind: bool) -> float:
        """Monotonic seconds at which :meth:`wake` has something to do; infinity if never.

        ``behind``: many messages of the partition are still unread.
        """
        ...

    def wake(self, at: Instant, behind: bool) -> list[Output]:
        """Events that are due now."""
        ...

    def changes(self, at: Instant) -> list[Change]:
        """Changelog records since the last call."""
        ...

    def committable(self, position: int) -> int:
        """Offset from which a successor must read, when everything before ``position`` has been accepted."""
        ...

    @property
    def blocked(self) -> bool:
        """Whether no further message can be taken in for now."""
        ...

    @property
    def waiting(self) -> int:
        """Number of things that wait for a timer."""
        ...


@dataclass(frozen=True)
class Source:
    """One input topic of a stream process.

    Attributes
    ----------
    topic
        Name of the topic.
    logic
        Makes the state machine of one partition from its changelog (key → value) at a moment.
    changelog
        Compacted topic with as many partitions as ``topic``, or ``None`` for a logic without state.
    waiting_metric
        Gauge that shows how many things wait, or ``None``.
    """

    topic: str
    logic: Callable[[dict[bytes, bytes], Instant], PartitionLogic]
    changelog: Topic | None = None
    waiting_metric: MetricName | None = None
