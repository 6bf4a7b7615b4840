"""Tasks → lists by time with a stable mark to go on from, and who asked for which.

Guarantee: a page is never affected by tasks that move, because a task's place depends on its creation only; one
that comes in between is on the pages before.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from dashboards.live.records import TaskView

#: When a task was made, and its id.
Mark = tuple[datetime, str]


class Catalogue:
    """Tasks by the time of their creation, and by request key.

    Not safe for several threads: its owner locks.
    """

    def __init__(self) -> None:
        self._marks: list[Mark] = []
        self._mark_of: dict[str, Mark] = {}
        self._by_key: dict[str, str] = {}

    def note(self, task: TaskView) -> None:
        """A task is known, and is now like this."""
        if task.task_id not in self._mark_of:
            mark = (task.created_at, task.task_id)
            insort(self._marks, mark)
            self._mark_of[task.task_id] = mark
        if task.asked is not None and task.asked.request_key is not None:
            # the first of two under one key is the one that was promised
            self._by_key.setdefault(task.asked.request_key, task.task_id)

    def forget(self, task: TaskView) -> None:
        """A task is no longer known."""
        mark = self._mark_of.pop(task.task_id, None)
        if mark is not None:
            del self._marks[bisect_left(self._marks, mark)]
        key = None if task.asked is None else task.asked.request_key
        if key is not None and self._by_key.get(key) == task.task_id:
            del self._by_key[key]

    def under(self, request_key: str) -> str | None:
        """Id of the task that was asked for under a key."""
        return self._by_key.get(request_key)

    def newest(self, before: Mark | None, find: Callable[[str], TaskView | None]) -> Iterator[TaskView]:
        """Tasks that were made before a mark (``None``: all of them), the newest first."""
        end = len(self._marks) if before is None else bisect_left(self._marks, before)
        for index in range(end - 1, -1, -1):
            task = find(self._marks[index][1])
            if task is not None:
                yield task

    def newest_of(
        self, task_ids: Iterable[str], before: Mark | None, find: Callable[[str], TaskView | None]
    ) -> Iterator[TaskView]:
        """The same of these tasks only."""
        marks = [self._mark_of[task_id] for task_id in task_ids if task_id in self._mark_of]
        for mark in sorted(marks, reverse=True):
            task = find(mark[1])
            if task is not None and (before is None or mark < before):
                yield task
