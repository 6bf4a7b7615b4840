"""Fetched tasks → the next one to run: by class, then by deadline; those that wait long move up.

At most one task per partition is held, waiting or running, so the offset of a partition only ever advances. Safe
to use from several threads; time is an argument.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from schemas.events import InferenceTask
from schemas.headers import Headers
from schemas.topics import Priority

#: A task moves up one class for each such time of waiting here, never into P1.
AGEING_S: Final = 120.0


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    number: int


class Received(NamedTuple):
    """A message as it came, and where it stands."""

    partition: Partition
    offset: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers | None = None

    @property
    def place(self) -> str:
        """``topic[partition]@offset``."""
        return f"{self.partition.topic}[{self.partition.number}]@{self.offset}"


@dataclass(eq=False)
class Job:
    """One fetched task.

    Attributes
    ----------
    task
        What to do.
    received
        The message.
    abandoned
        Set when its answer will not be used: whoever runs it may stop.
    waiting_since, ready_at
        Monotonic seconds: when it came, and before when it is not to be taken.
    probes
        How often its gateway was found away.
    """

    task: InferenceTask
    received: Received
    abandoned: threading.Event = field(default_factory=threading.Event)
    waiting_since: float = 0.0
    ready_at: float = 0.0
    probes: int = 0

    def rank(self, now: float) -> int:
        """Class in which the job competes: its own, or a more urgent one after waiting."""
        rank = self.task.priority.rank
        aged = rank - int((now - self.waiting_since) / AGEING_S)
        return min(rank, max(2, aged))

    @property
    def partition(self) -> Partition:
        """Where the task came from."""
        return self.received.partition


class Backlog:
    """Waiting and running jobs of the assigned partitions.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting: dict[Partition, Job] = {}
        self._running: dict[Partition, Job] = {}
        self._changed = threading.Condition()
        self._closed = False

    def add(self, job: Job) -> None:
        """Hold a job.

        Raises
        ------
        ValueError
            Its partition has one already.
        """
        with self._changed:
            if job.partition in self._waiting or job.partition in self._running:
                raise ValueError(f"{job.received.place}: the partition has a job already")
            job.waiting_since = self._clock()
            self._waiting[job.partition] = job
            self._changed.notify()

    def take(self) -> Job | None:
        """Wait for a job and mark it as running; ``None`` once the backlog is closed."""
        with self._changed:
            while not self._closed:
                now = self._clock()
                job = self._best(now)
                if job is not None:
                    return self._start(job)
                parked = [entry.ready_at for entry in self._waiting.values()]
                self._changed.wait(min(parked) - now if parked else None)
            return None

    def take_emergency(self) -> Job | None:
        """A P1 job that can run now, marked as running, or ``None``; never waits."""
        with self._changed:
            job = None if self._closed else self._best(self._clock())
            if job is None or job.task.priority is not Priority.P1_EMERGENCY:
                return None
            return self._start(job)

    def park(self, job: Job, seconds: float) -> None:
        """Let a running job wait again, not to be taken for some time."""
        with self._changed:
            if self._running.get(job.partition) is job:
                del self._running[job.partition]
                job.ready_at = self._clock() + seconds
                self._waiting[job.partition] = job
                self._changed.notify()

    def done(self, job: Job) -> None:
        """Forget a job that is answered."""
        with self._changed:
            if self._running.get(job.partition) is job:
                del self._running[job.partition]

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Forget the jobs of these partitions; one that runs is told that it is abandoned."""
        with self._changed:
            for partition in partitions:
                for held in (self._waiting, self._running):
                    job = held.pop(partition, None)
                    if job is not None:
                        job.abandoned.set()

    def close(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def running(self) -> int:
        """Number of jobs handed out and neither answered nor parked."""
        with self._changed:
            return len(self._running)

    def _start(self, job: Job) -> Job:
        self._running[job.partition] = self._waiting.pop(job.partition)
        return job

    def _best(self, now: float) -> Job | None:
        ready = [job for job in self._waiting.values() if job.ready_at <= now]
        return min(ready, key=lambda job: (job.rank(now), job.task.deadline, job.partition), default=None)
