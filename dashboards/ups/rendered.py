"""Inference tasks → JSON of their workitems, made once until a task moves, within a bounded memory.

Whoever polls a list of workitems gets the same ones again and again, of which few have moved in the meantime.
Guarantee: the same bytes as of the workitem made anew.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import orjson

from dashboards.live.records import TaskView
from dashboards.ups.workitem import State, dt, state_of, workitem

#: Stands for the expected completion, which alone is another one at each moment. Nothing that somebody else has
#: written comes before it in the order of the tags.
_SOME_TIME: Final = datetime.max.replace(tzinfo=UTC)
_MARK: Final = dt(_SOME_TIME).encode()


@dataclass(frozen=True)
class _Made:
    task: TaskView
    state: State
    expected: bool
    json: bytes


class Rendered:
    """JSON of workitems; safe to use from several threads.

    Parameters
    ----------
    most
        How many are kept; one takes about 2 kB.
    """

    def __init__(self, most: int = 2_000) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._made: dict[str, _Made] = {}

    def __call__(self, task: TaskView, now: datetime, expected: datetime | None) -> bytes:
        """JSON of the workitem of a task, without its images; see :func:`dashboards.ups.workitem.workitem`."""
        state, made = state_of(task, now), self._made.get(task.task_id)
        if made is None or made.task is not task or made.state is not state or made.expected is (expected is None):
            item = workitem(task, now, expected=None if expected is None else _SOME_TIME)
            made = self._keep(_Made(task, state, expected is not None, orjson.dumps(item)))
        return made.json if expected is None else made.json.replace(_MARK, dt(expected).encode(), 1)

    def _keep(self, made: _Made) -> _Made:
        with self._lock:
            self._made[made.task.task_id] = made
            if len(self._made) > self._most:
                del self._made[next(iter(self._made))]
        return made
