"""Jobs that wait → the next one to begin. Pure; the present moment is an argument.

P1 first, always. The others share by weight (:mod:`streams.worker.shares`) and go by deadline within their lane; a
job that waits moves up a class, never into P1, and one whose deadline is near competes in a lane of its own. It
competes in the lane of its class, too: in a better one all that comes may have an earlier deadline. What is held,
waits for its time, or may not overtake takes no part, and what nobody wants any more is told apart. Choosing takes
the same short time whether ten or ten thousand wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final

from streams.clock import Instant
from streams.worker.job import Job, Lane, Partition, Stage
from streams.worker.shares import WEIGHTS, Shares, gained

#: A job moves up one class for each such time of waiting here, in seconds.
AGEING_S: Final = 120.0

#: A deadline is near when it is no further away than this, in seconds.
DUE_S: Final = 60.0

#: No task waits longer than this for its ``not_before``, in seconds, whatever clock set it.
LONGEST_WAIT_S: Final = 7 * 24 * 3600.0

#: Whoever waits longer than this for its time, in seconds, does not hold up its partition.
LONG_WAIT_S: Final = 60.0

#: Ranks of emergencies lie below this, all others above.
_BELOW_EMERGENCIES: Final = 10.0

#: Entries of a heap beyond those of jobs that wait, from which on it is swept.
_STALE: Final = 1000

_BY_CLASS: Final = {2: Lane.URGENT, 3: Lane.NORMAL, 4: Lane.ROUTINE}

_Entry = tuple[float, int, int, Job]


class Schedule:
    """What waits."""

    def __init__(self) -> None:
        self._jobs: dict[Partition, dict[int, Job]] = {}
        self._lanes: dict[Lane, list[_Entry]] = {lane: [] for lane in Lane}
        self._timers: list[_Entry] = []
        self._only: dict[Partition, int] = {}
        self._shares = Shares()
        self._numbers = count()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Job]:
        for jobs in self._jobs.values():
            yield from jobs.values()

    def add(self, job: Job, now: Instant) -> None:
        """Take in a job that was read, or back one that was begun."""
        job.stage = Stage.WAITING
        self._jobs.setdefault(job.partition, {})[job.received.offset] = job
        self._size += 1
        self.place(job, now)

    def remove(self, job: Job) -> None:
        """Forget a job; one that does not wait here is none of ours."""
        jobs = self._jobs.get(job.partition, {})
        if jobs.get(job.received.offset) is job:
            self._forget(job)

    def place(self, job: Job, now: Instant) -> None:
        """Let a job compete where it belongs now, after anything about it changed."""
        job.turn += 1
        lane, until = self._lane(job, now)
        job.lane = lane
        number = next(self._numbers)
        for one in _lanes(job, lane):
            self._push(self._lanes[one], (job.task.deadline.timestamp(), number, job.turn, job))
        if until is not None:
            self._push(self._timers, (until, number, job.turn, job))

    def restrict(self, partition: Partition, only: int | None, now: Instant) -> None:
        """Let only one offset of a partition begin, or any (``None``)."""
        if self._only.get(partition) == only:
            return
        if only is None:
            del self._only[partition]
        else:
            self._only[partition] = only
        for job in list(self._jobs.get(partition, {}).values()):
            self.place(job, now)

    def stalled(self, now: Instant) -> list[Job]:
        """Jobs that alone may begin of their partition, and are kept back: nothing behind them goes on."""
        oldest = [self._jobs.get(partition, {}).get(only) for partition, only in self._only.items()]
        return [
            job for job in oldest if job is not None and (job.held or job.ready_at > now.monotonic + LONG_WAIT_S)
        ]

    def unrestrict(self, now: Instant) -> None:
        """Let any offset begin: the books of all partitions were begun anew."""
        for partition in list(self._only):
            self.restrict(partition, None, now)

    def next(
        self,
        now: Instant,
        room: Callable[[Lane], bool] = lambda _: True,
        wait: Callable[[Job], float] = lambda _: 0.0,
    ) -> Job | None:
        """Take out what to begin next, with its rank.

        Parameters
        ----------
        now
            Present moment.
        room
            Whether something of a lane may begin.
        wait
            Moment, in monotonic seconds, before which a job may not begin for another reason.
        """
        self._tick(now)
        if room(Lane.EMERGENCY):
            job = self._head(Lane.EMERGENCY, now, wait)
            if job is not None:
                return self._taken(job, rank_of_emergency(job))
        # a lane without room keeps its turn
        heads = {lane: self._head(lane, now, wait) for lane in WEIGHTS}
        for lane in self._shares.order(lane for lane, job in heads.items() if job is not None):
            job = heads[lane]
            if job is not None and room(lane):
                job.lane = lane
                return self._taken(job, _BELOW_EMERGENCIES + self._shares.take(lane))
        return None

    def _taken(self, job: Job, rank: float) -> Job:
        self._forget(job)
        job.rank, job.stage = rank, Stage.BEGUN
        return job

    def over(self, now: Instant) -> list[Job]:
        """Take out what nobody wants any more."""
        self._tick(now)
        found = [job for _, _, turn, job in self._lanes[Lane.OVER] if turn == job.turn and self._waits(job)]
        self._lanes[Lane.OVER].clear()
        for job in found:
            self._forget(job)
        return found

    def _forget(self, job: Job) -> None:
        job.turn += 1
        jobs = self._jobs[job.partition]
        del jobs[job.received.offset]
        if not jobs:
            del self._jobs[job.partition]
        self._size -= 1

    def _waits(self, job: Job) -> bool:
        return self._jobs.get(job.partition, {}).get(job.received.offset) is job

    def _push(self, heap: list[_Entry], entry: _Entry) -> None:
        heappush(heap, entry)
        if len(heap) > 2 * self._size + _STALE:
            heap[:] = [kept for kept in heap if kept[2] == kept[3].turn]
            heapify(heap)

    def _tick(self, now: Instant) -> None:
        while self._timers and self._timers[0][0] <= now.monotonic:
            _, _, turn, job = heappop(self._timers)
            if turn == job.turn:
                self.place(job, now)

    def _head(self, lane: Lane, now: Instant, wait: Callable[[Job], float]) -> Job | None:
        heap = self._lanes[lane]
        while heap:
            _, _, turn, job = heap[0]
            if turn == job.turn:
                ready_at = wait(job)
                if ready_at <= now.monotonic:
                    return job
                job.ready_at = ready_at
                self.place(job, now)
            heappop(heap)
        return None

    def _lane(self, job: Job, now: Instant) -> tuple[Lane | None, float | None]:
        """Lane of a job, and the moment when that may change by itself."""
        over_s = _seconds_to_over(job, now)
        if over_s is not None and over_s <= 0:
            return Lane.OVER, None
        lane: Lane | None = None
        changes = [] if over_s is None else [now.monotonic + over_s]
        only = self._only.get(job.partition, job.received.offset)
        if not job.held and only == job.received.offset:
            if job.ready_at > now.monotonic:
                changes.append(job.ready_at)
            else:
                lane, change = lane_of(job, now)
                changes += [] if change is None else [change]
        return lane, min(changes, default=None)


def _lanes(job: Job, lane: Lane | None) -> set[Lane]:
    """Lanes in which a job competes: the best one, and that of its class."""
    if lane is None:
        return set()
    return {lane, _BY_CLASS[job.task.priority.rank]} if lane in WEIGHTS else {lane}


def lane_of(job: Job, now: Instant) -> tuple[Lane, float | None]:
    """Lane in which a job competes that may begin, and the moment when it changes by itself."""
    if job.is_emergency:
        return Lane.EMERGENCY, None
    waited_s = max(now.monotonic - job.waiting_since, 0.0)
    steps = int(waited_s / AGEING_S)
    rank = max(2, job.task.priority.rank - steps)
    changes = [] if rank == 2 else [job.waiting_since + (steps + 1) * AGEING_S]
    slack_s = (job.task.deadline - now.utc).total_seconds()
    if 0 < slack_s <= DUE_S:
        return Lane.DUE, now.monotonic + slack_s
    if slack_s > DUE_S:
        changes.append(now.monotonic + slack_s - DUE_S)
    return _BY_CLASS[rank], min(changes, default=None)


def moved_up(job: Job, now: Instant) -> bool:
    """Give a job that was begun the rank of the lane where it would compete now; whether that is a better one."""
    lane, _ = lane_of(job, now)
    if job.lane is None or lane >= job.lane:
        return False
    job.rank = rank_of_emergency(job) if lane is Lane.EMERGENCY else job.rank - gained(job.lane, lane)
    job.lane = lane
    return True


def rank_of_emergency(job: Job) -> float:
    """Rank of a P1: the earlier deadline first, before everything else, also where the deadline is year 9999."""
    return job.task.deadline.timestamp() / 1e12


def ready_at(job: Job, now: Instant) -> float:
    """Monotonic moment of the ``not_before`` of a task; a P1 never waits for a time of day."""
    if job.task.not_before is None or (job.is_emergency and job.task.attempt == 1):
        return 0.0
    wait_s = (job.task.not_before - now.utc) / timedelta(seconds=1)
    return now.monotonic + min(max(wait_s, 0.0), LONGEST_WAIT_S)


def _seconds_to_over(job: Job, now: Instant) -> float | None:
    until = job.task.useful_until
    return None if until is None else (until - now.utc).total_seconds()
