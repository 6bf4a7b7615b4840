"""Statuses as they are read from the log → whoever follows them, from any point of the recent past.

A point is how far each partition of ``inference.status`` was read, so that it means the same in every process of
the API. Guarantee: a follower gets every status after its point once and in the order of each task, or is told
that it must look anew: when the point is further back than the memory, or when it is too slow. Memory is bounded.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from dashboards.live.reviews import Place
from schemas.events import TaskStatus
from schemas.topics import Topic

_POINT: Final = re.compile(r"\d{1,4}-\d{1,18}(\.\d{1,4}-\d{1,18}){0,999}")

#: Partition → the last offset that was read.
Point = dict[int, int]


@dataclass(frozen=True)
class Told:
    """A status, and the point after it."""

    status: TaskStatus
    partition: int
    offset: int
    point: str


@dataclass(eq=False)
class Follower:
    """Somebody who follows; ``wake`` is called from the thread that reads the log.

    ``commanded`` collects the ids of tasks of which something was asked; ``None``: that is not wanted.
    """

    wake: Callable[[], None]
    wants: Callable[[TaskStatus], bool]
    most: int
    waiting: deque[Told] = field(default_factory=deque)
    too_slow: bool = False
    commanded: set[str] | None = None


class Feed:
    """Statuses of the recent past and those who follow them.

    Parameters
    ----------
    most
        How many statuses are remembered.
    most_followers
        How many may follow at once.
    """

    def __init__(self, most: int = 20_000, most_followers: int = 500) -> None:
        self._lock = threading.Lock()
        self._recent: deque[Told] = deque(maxlen=most)
        self._point: Point = {}
        #: Per partition, the last offset that was read and is no longer remembered.
        self._gone: Point = {}
        self._followers: list[Follower] = []
        self._most_followers = most_followers

    def note(self, status: TaskStatus, place: Place | None) -> None:
        """A status was read at this place; one without a place is not of the log yet."""
        if place is None or place.topic != Topic.STATUS:
            return
        with self._lock:
            if place.offset <= self._point.get(place.partition, -1):
                return
            self._point[place.partition] = place.offset
            told = Told(status, place.partition, place.offset, text_of(self._point))
            if len(self._recent) == self._recent.maxlen:
                self._gone[self._recent[0].partition] = self._recent[0].offset
            self._recent.append(told)
            for follower in self._followers:
                if not follower.wants(status):
                    continue
                if len(follower.waiting) >= follower.most:
                    follower.too_slow = True
                else:
                    follower.waiting.append(told)
                follower.wake()

    def note_command(self, task_id: str) -> None:
        """Something was asked of a task."""
        with self._lock:
            for follower in self._followers:
                if follower.commanded is None:
                    continue
                if len(follower.commanded) >= follower.most:
                    follower.too_slow = True
                else:
                    follower.commanded.add(task_id)
                follower.wake()

    def now(self) -> str:
        """Point of what was read so far."""
        with self._lock:
            return text_of(self._point)

    def follow(self, follower: Follower, after: Point | None) -> tuple[str, bool]:
        """Begin to follow.

        Parameters
        ----------
        follower
            Gets what it wants into ``waiting``.
        after
            Where it stopped; ``None`` for what comes from now on.

        Returns
        -------
        point, complete
            Where it begins, and whether nothing is missing since ``after``.

        Raises
        ------
        OverflowError
            Too many follow already.
        """
        with self._lock:
            if len(self._followers) >= self._most_followers:
                raise OverflowError(f"{self._most_followers} follow already")
            complete = True
            if after is not None:
                complete = all(after.get(partition, -1) >= last for partition, last in self._gone.items())
                # a point beyond what was read is of a log that is no more
                complete = complete and all(last <= self._point.get(p, -1) for p, last in after.items())
                if complete:
                    missed = [
                        told
                        for told in self._recent
                        if told.offset > after.get(told.partition, -1) and follower.wants(told.status)
                    ]
                    complete = len(missed) <= follower.most
                    follower.waiting.extend(missed if complete else ())
            self._followers.append(follower)
            return text_of(self._point), complete

    def nothing_since(self, task_id: str, after: Point) -> bool:
        """Whether it is certain that no status of a task came after a point."""
        with self._lock:
            if any(after.get(partition, -1) < last for partition, last in self._gone.items()):
                return False
            return not any(
                told.status.task_id == task_id and told.offset > after.get(told.partition, -1)
                for told in self._recent
            )

    def leave(self, follower: Follower) -> None:
        """Stop following."""
        with self._lock:
            if follower in self._followers:
                self._followers.remove(follower)

    def take(self, follower: Follower) -> list[Told]:
        """What waits for a follower."""
        with self._lock:
            taken = list(follower.waiting)
            follower.waiting.clear()
            return taken

    def take_commanded(self, follower: Follower) -> set[str]:
        """Tasks of which something was asked since the last time."""
        with self._lock:
            taken = set(follower.commanded or ())
            if follower.commanded is not None:
                follower.commanded.clear()
            return taken


def text_of(point: Point) -> str:
    """Text of a point, such as ``0-17.3-9``; it has no other meaning for whoever keeps it."""
    return ".".join(f"{partition}-{offset}" for partition, offset in sorted(point.items()))


def point_of(text: str) -> Point | None:
    """Point of a text, or ``None`` where it is none."""
    if not _POINT.fullmatch(text):
        return {} if text == "" else None
    pairs = (part.split("-") for part in text.split("."))
    return {int(partition): int(offset) for partition, offset in pairs}
