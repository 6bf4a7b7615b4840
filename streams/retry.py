"""Failed task with a ``not_before`` → the same task on its priority topic when the time has come.

Tasks of a partition are forwarded in order: one that waits holds back those behind it, by the difference of two
waits at most. So a task that waits for the hours of its class does not wait here: it goes on at once, and whoever
runs it keeps it until they begin. Guarantee: the offset of a task moves in the transaction that forwards it, so a
task that waits is neither lost by a restart nor forwarded twice.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from schemas.errors import InvalidMessage
from schemas.events import InferenceTask
from schemas.topics import TASK_TOPICS, Priority, Topic
from streams.clock import Instant
from streams.partition import Change, Output, Received
from streams.routing import queued

#: No task waits longer than this, in seconds, whatever the clock of the node was that set ``not_before``.
LONGEST_WAIT_S: Final = 60.0


class RetryScheduler:
    """Waiting tasks of one partition of the workers' retry topic.

    Parameters
    ----------
    windowed
        Classes that may have to wait for their hours.
    """

    def __init__(self, windowed: Collection[Priority] = ()) -> None:
        self._windowed = windowed
        self._held: list[tuple[float, int, InferenceTask, str | None]] = []

    def accept(self, received: Received, at: Instant) -> None:
        """Hold a task until it is due."""
        task = received.event
        if not isinstance(task, InferenceTask):
            raise InvalidMessage(f"a {type(task).__name__} does not belong on the workers' retry topic")
        wait_s = 0.0 if task.not_before is None else (task.not_before - at.utc).total_seconds()
        if wait_s > LONGEST_WAIT_S and task.priority in self._windowed:
            wait_s = 0.0
        due = at.monotonic + min(max(wait_s, 0.0), LONGEST_WAIT_S)
        self._held.append((due, received.offset, task, received.traceparent))

    def due(self, behind: bool) -> float:  # noqa: ARG002 - a wait does not depend on what is unread
        """When the first task may go."""
        return self._held[0][0] if self._held else float("inf")

    def wake(self, at: Instant, behind: bool) -> list[Output]:  # noqa: ARG002 - see due
        """Tasks whose time has come, each with its status."""
        outputs = []
        while self._held and self._held[0][0] <= at.monotonic:
            _, _, task, trace = self._held.pop(0)
            outputs.append(Output(TASK_TOPICS[task.priority], task.study_instance_uid, task, trace))
            outputs.append(Output(Topic.STATUS, task.task_id, queued(task, at.utc), trace))
        return outputs

    def changes(self, at: Instant) -> list[Change]:  # noqa: ARG002 - no changelog: what waits is read again
        """Nothing: the topic itself is the store."""
        return []

    def committable(self, position: int) -> int:
        """Offset of the first task that still waits."""
        return self._held[0][1] if self._held else position

    @property
    def blocked(self) -> bool:
        """While a task waits, the partition is paused."""
        return bool(self._held)

    @property
    def waiting(self) -> int:
        """Number of tasks that wait."""
        return len(self._held)
