"""Tasks → lists by time with a stable mark to go on from, and who asked for which.

Guarantee: a page is never affected by tasks that move, because a task's place depends on its creation only; one
that comes in between is on the pages before. A search that names the kind of a task looks at no task of another.
"""

from __future__ import annotations

import uuid
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import compress

from dashboards.live.records import TaskView
from schemas.events import TaskState
from schemas.ids import uuid_of
from schemas.topics import Priority

#: When a task was made, and its id.
Mark = tuple[datetime, str]


@dataclass(frozen=True, eq=False)
class Kind:
    """What many tasks have in common; there is one object of each, so that it is told by its identity."""

    model_name: str
    priority: Priority
    state: TaskState


class Fitting(dict[Kind, bool]):
    """Kind → whether its tasks are looked for; each is asked about once.

    Parameters
    ----------
    fits
        Whether a task of a kind may be wanted.
    """

    def __init__(self, fits: Callable[[Kind], bool]) -> None:
        super().__init__()
        self._fits = fits

    def __missing__(self, kind: Kind) -> bool:
        self[kind] = self._fits(kind)
        return self[kind]


class Catalogue:
    """Tasks by the time of their creation, and by request key.

    Not safe for several threads: its owner locks.
    """

    def __init__(self) -> None:
        self._marks: list[Mark] = []
        #: Kind of the task of each mark, in the same places.
        self._kinds: list[Kind] = []
        self._kind_of: dict[tuple[str, Priority, TaskState], Kind] = {}
        self._mark_of: dict[str, Mark] = {}
        self._by_key: dict[str, str] = {}
        #: Tasks whose ids are not the texts of their UUIDs.
        self._by_uuid: dict[uuid.UUID, str] = {}

    def note(self, task: TaskView) -> None:
        """A task is known, and is now like this."""
        kind = self._kind(task)
        mark = self._mark_of.get(task.task_id)
        if mark is None:
            mark = (task.created_at, task.task_id)
            place = bisect_left(self._marks, mark)
            self._marks.insert(place, mark)
            self._kinds.insert(place, kind)
            self._mark_of[task.task_id] = mark
            number = uuid_of(task.task_id)
            if str(number) != task.task_id:
                self._by_uuid[number] = task.task_id
        else:
            self._kinds[bisect_left(self._marks, mark)] = kind
        if task.asked is not None and task.asked.request_key is not None:
            # the first of two under one key is the one that was promised
            self._by_key.setdefault(task.asked.request_key, task.task_id)

    def forget(self, task: TaskView) -> None:
        """A task is no longer known."""
        mark = self._mark_of.pop(task.task_id, None)
        if mark is not None:
            place = bisect_left(self._marks, mark)
            del self._marks[place], self._kinds[place]
            self._by_uuid.pop(uuid_of(task.task_id), None)
        key = None if task.asked is None else task.asked.request_key
        if key is not None and self._by_key.get(key) == task.task_id:
            del self._by_key[key]

    def under(self, request_key: str) -> str | None:
        """Id of the task that was asked for under a key."""
        return self._by_key.get(request_key)

    def of_uuid(self, number: uuid.UUID) -> str:
        """Id of the task that a UUID stands for, if there is one."""
        return self._by_uuid.get(number, str(number))

    def newest(
        self, before: Mark | None, most: int, fitting: Fitting | None = None
    ) -> tuple[list[str], Mark | None]:
        """Tasks that were made before a mark (``None``: of all), the newest first.

        Parameters
        ----------
        before
            Where to begin.
        most
            How many are looked at.
        fitting
            Kinds that are looked for; ``None``: all.

        Returns
        -------
        ids, mark
            Those of these kinds, and where to go on; ``None`` at the end.
        """
        end = len(self._marks) if before is None else bisect_left(self._marks, before)
        begin = max(end - most, 0)
        marks, following = self._marks[begin:end], self._marks[begin] if begin else None
        if fitting is not None:
            marks = list(compress(marks, map(fitting.__getitem__, self._kinds[begin:end])))
        return [task_id for _, task_id in reversed(marks)], following

    def newest_of(self, task_ids: Iterable[str], before: Mark | None) -> list[str]:
        """The same of these tasks only, all of them."""
        marks = [self._mark_of[task_id] for task_id in task_ids if task_id in self._mark_of]
        return [mark[1] for mark in sorted(marks, reverse=True) if before is None or mark < before]

    def _kind(self, task: TaskView) -> Kind:
        common = (task.model_name, task.priority, task.state)
        return self._kind_of.setdefault(common, Kind(*common))
