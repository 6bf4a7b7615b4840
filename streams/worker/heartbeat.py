"""State of this worker → a heartbeat on ``inference.nodes``: every few seconds, and when the state changes.

Also when a task is begun, because others must know of it should this worker vanish (:mod:`streams.worker.nodes`):
one small event, outside of transactions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from typing import Final

from producers.kafka import EventPublisher
from producers.telemetry import Telemetry
from schemas import ids
from schemas.errors import DestinationUnavailable
from schemas.events import BegunTask, ClassLoad, ModelState, NodeHeartbeat, NodeState
from schemas.topics import Priority, Topic
from streams.clock import Instant
from streams.worker.job import Job, Stage
from streams.worker.protocol import Name

#: Seconds between two heartbeats.
EVERY_S: Final = 15.0

#: Seconds between two looks at the load, for the metrics.
LOOK_S: Final = 1.0


def load_of(jobs: Iterable[Job], now: float) -> tuple[ClassLoad, ...]:
    """Jobs in hand by class; what waits for a later time counts as waiting."""
    waiting, running = dict.fromkeys(Priority, 0), dict.fromkeys(Priority, 0)
    oldest = dict.fromkeys(Priority, 0.0)
    for job in jobs:
        priority = job.task.priority
        if job.stage is Stage.WAITING:
            waiting[priority] += 1
            oldest[priority] = max(oldest[priority], now - job.waiting_since)
        elif job.stage is Stage.BEGUN:
            running[priority] += 1
    return tuple(
        ClassLoad(priority, waiting[priority], running[priority], round(oldest[priority], 3))
        for priority in Priority
    )


class Heart:
    """Says that this worker lives.

    Parameters
    ----------
    publisher
        Without transactions.
    telemetry
        Shows the same.
    node
        Name of this node.
    started_at
        When this process began.
    jobs
        All jobs in hand.
    """

    def __init__(
        self,
        publisher: EventPublisher,
        telemetry: Telemetry,
        node: str,
        started_at: datetime,
        jobs: Callable[[], Iterable[Job]],
    ) -> None:
        self._publisher = publisher
        self._telemetry = telemetry
        self._node = node
        self._started_at = started_at
        self._jobs = jobs
        self._said: tuple[NodeState, tuple[ModelState, ...], tuple[str, ...]] | None = None
        self._at_work: set[Name] = set()
        self._load: tuple[ClassLoad, ...] = ()
        self._next_at = self._look_at = 0.0

    def beat(
        self,
        now: Instant,
        state: NodeState,
        engine: str,
        models: tuple[ModelState, ...],
        problems: tuple[str, ...],
        memory_bytes: int | None,
        begun: tuple[BegunTask, ...],
    ) -> None:
        """Publish what changed, or what is due."""
        about = (state, models, problems)
        at_work = {(entry.task_id, entry.attempt) for entry in begun}
        changed = about != self._said or not at_work <= self._at_work or (not at_work and bool(self._at_work))
        if not changed and now.monotonic < min(self._look_at, self._next_at):
            return
        if now.monotonic >= self._look_at or about != self._said:  # not for each task: thousands may wait
            self._load = load_of(self._jobs(), now.monotonic)
            self._show(self._load, healthy=state is NodeState.READY)
            self._look_at = now.monotonic + LOOK_S
        if not changed and now.monotonic < self._next_at:
            return
        self._said, self._next_at = about, now.monotonic + EVERY_S
        self._at_work = at_work
        identity = ids.event_id("heartbeat", self._node, self._started_at.isoformat(), now.utc.isoformat())
        beat = NodeHeartbeat(
            event_id=identity,
            occurred_at=now.utc,
            node=self._node,
            started_at=self._started_at,
            state=state,
            engine=engine,
            models=models,
            load=self._load,
            problems=problems,
            memory_bytes=memory_bytes,
            begun=begun,
        )
        with suppress(DestinationUnavailable):  # the queue is full: Kafka is away, and the next beat says the same
            self._publisher.publish(Topic.NODES, self._node, beat)

    def _show(self, load: tuple[ClassLoad, ...], *, healthy: bool) -> None:
        self._telemetry.gauge("scanstream_worker_up", int(healthy))
        for entry in load:
            priority = entry.priority.value
            self._telemetry.gauge("scanstream_worker_tasks", entry.waiting, priority=priority, state="waiting")
            self._telemetry.gauge("scanstream_worker_tasks", entry.running, priority=priority, state="running")
            self._telemetry.gauge(
                "scanstream_worker_oldest_waiting_seconds", entry.oldest_waiting_s, priority=priority
            )
