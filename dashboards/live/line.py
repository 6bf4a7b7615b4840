"""Tasks → who waits before whom, and how long that may take by what the models needed lately.

Guarantee: a position and an estimate are derived from what was observed, and ``None`` where that is not enough.
Each change and each question takes time with the logarithm of the number of tasks.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Final

from dashboards.live.records import TaskView
from schemas.events import TaskState

#: Runs of a model that its usual duration is taken from, and how many there must be at least.
RUNS: Final = 50
FEWEST: Final = 1
#: What lasted longer, or no time that can be, says nothing of the next run.
LONGEST_S: Final = 86_400.0

_Rank = tuple[int, datetime, str]


@dataclass(frozen=True)
class Place:
    """Where a task stands among those that wait.

    Attributes
    ----------
    position
        1 for the one that is next.
    before
        How many of each model come before it, by model.
    running
        How many of each model run now.
    """

    position: int
    before: Mapping[str, int]
    running: Mapping[str, int]


class Line:
    """Tasks that wait for a worker, the more urgent class first, the older first within a class.

    Not safe for several threads: its owner locks.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[_Rank]] = {}
        self._ranks: dict[str, tuple[str, _Rank]] = {}
        self._running: dict[str, str] = {}
        self._durations: dict[str, deque[float]] = {}

    def note(self, before: TaskView | None, task: TaskView) -> None:
        """A task is now like this."""
        self.forget(task.task_id)
        if waits(task):
            rank = (task.priority.rank, task.created_at, task.task_id)
            insort(self._waiting.setdefault(task.model_name, []), rank)
            self._ranks[task.task_id] = (task.model_name, rank)
        elif not task.finished and task.held is None and task.state is not TaskState.RETRY_WAIT:
            self._running[task.task_id] = task.model_name
        if task.result is not None and task.result.stages and (before is None or before.result is None):
            lasted = sum(stage.duration_ms for stage in task.result.stages) / 1000
            if 0 <= lasted <= LONGEST_S:
                self._durations.setdefault(task.model_name, deque(maxlen=RUNS)).append(lasted)

    def forget(self, task_id: str) -> None:
        """A task waits and runs no longer."""
        self._running.pop(task_id, None)
        model, rank = self._ranks.pop(task_id, ("", None))
        if rank is not None:
            line = self._waiting[model]
            del line[bisect_left(line, rank)]

    def place(self, task_id: str) -> Place | None:
        """Where a task stands; ``None`` where it does not wait."""
        _, rank = self._ranks.get(task_id, ("", None))
        if rank is None:
            return None
        before = {model: bisect_left(line, rank) for model, line in self._waiting.items()}
        running: dict[str, int] = {}
        for model in self._running.values():
            running[model] = running.get(model, 0) + 1
        return Place(1 + sum(before.values()), {model: n for model, n in before.items() if n}, running)

    def usual_s(self, model: str) -> float | None:
        """Median duration of the model's last runs in seconds; ``None`` where none was seen."""
        runs = self._durations.get(model)
        return median(runs) if runs is not None and len(runs) >= FEWEST else None

    def remaining_s(self, place: Place, model: str, nodes: int) -> float | None:
        """Seconds until a task that stands there is done, with so many nodes at work.

        What runs is half done on average. ``None`` without a node, or where a model has not been seen running.
        """
        own = self.usual_s(model)
        if own is None or nodes < 1:
            return None
        ahead = 0.0
        for counts, share in ((place.before, 1.0), (place.running, 0.5)):
            for name, count in counts.items():
                usual = self.usual_s(name)
                if usual is None:
                    return None
                ahead += count * usual * share
        return ahead / nodes + own


def waits(task: TaskView) -> bool:
    """Whether a worker may begin with the task at any moment."""
    return task.state is TaskState.QUEUED and task.held is None
