"""Inference tasks → those that a search matches, with the same question asked of each sort of task once.

Of most parameters thousands of tasks have a handful of values. So a task is told by what the search looks at, and
its FHIR Task is made and matched only where no task before it was the same in that.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from datetime import datetime
from typing import Final

from dashboards.fhir import query
from dashboards.fhir.live_task import business_status, live_task, status_of
from dashboards.fhir.matching import matching
from dashboards.fhir.parameters import elements
from dashboards.live.records import TaskView

#: Search parameter → what decides its values in the FHIR Task of an inference task.
DECIDES: Final[dict[str, Callable[[TaskView], Hashable]]] = {
    "_id": lambda task: task.task_id,
    "_lastUpdated": lambda task: task.updated_at,
    "_tag": lambda _: None,
    "based-on": lambda _: None,
    "business-status": business_status,
    "code": lambda task: task.model_name,
    "focus": lambda task: task.study_instance_uid,
    "identifier": lambda task: task.task_id,
    "owner": lambda task: task.model_name if task.result is None else task.result.model,
    "patient": lambda _: None,
    "status": status_of,
    "subject": lambda _: None,
}


class Alike:
    """One search, of tasks that are given a few at a time.

    Parameters
    ----------
    wanted
        The search.
    """

    def __init__(self, wanted: query.Query) -> None:
        self._wanted = wanted
        self._elements = elements("Task", wanted.names)
        self._deciding = [DECIDES[name] for name in sorted(wanted.names & DECIDES.keys())]
        self._fits: dict[Hashable, bool] = {}

    def matching(self, tasks: Sequence[TaskView]) -> list[TaskView]:
        """Those that match, in their order."""
        sorts = [tuple([decide(task) for decide in self._deciding]) for task in tasks]
        new = {sort: task for sort, task in zip(sorts, tasks, strict=True) if sort not in self._fits}
        if new:
            made = [(millis(task.updated_at), live_task(task, self._elements)) for task in new.values()]
            found = set(matching(self._wanted, made))
            self._fits.update((sort, place in found) for place, sort in enumerate(new))
        return [task for sort, task in zip(sorts, tasks, strict=True) if self._fits[sort]]


def millis(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return round(moment.timestamp() * 1000)
