"""Events → studies and tasks by id, within a bounded memory.

Guarantee: at most ``max_studies`` studies (and a tenth more between two sweeps) are kept; finished ones go
first, the oldest before the newer. Readers on any thread get immutable records.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from dashboards.live import line
from dashboards.live.alarms import Alarms
from dashboards.live.catalogue import Catalogue, Fitting, Kind, Mark
from dashboards.live.decisions import Decisions
from dashboards.live.feed import Feed
from dashboards.live.fold import Follow, TaskEvent, study_after, task_after
from dashboards.live.nodes import Nodes
from dashboards.live.records import StudyView, TaskView
from dashboards.live.reviews import Place, Reviews
from schemas.events import (
    Adjudication,
    DeliveryOutcome,
    EligibilityDecision,
    EscalationStep,
    Event,
    InferenceResult,
    InferenceTask,
    NodeHeartbeat,
    StudyReady,
    TaskCommand,
    TaskState,
    TaskStatus,
)

#: Tasks whose deliveries or commands were read before anything else of them; most were forgotten or expired.
MAX_EARLY_TASKS: Final = 1_000
#: Tasks that are looked at under one hold of the lock.
PIECE: Final = 1_000
#: Reviews are kept by task.
TASKS_PER_STUDY: Final = 3


@dataclass(frozen=True)
class Limits:
    """How much the view remembers."""

    max_studies: int = 10_000
    keep_finished: timedelta = timedelta(hours=72)


class LiveView:
    """Studies and tasks as the log tells them.

    Parameters
    ----------
    limits
        Bounds of memory.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._lock = threading.Lock()
        self._studies: dict[str, StudyView] = {}
        self._tasks: dict[str, TaskView] = {}
        self._early: dict[str, list[Follow]] = {}
        self._line = line.Line()
        self._catalogue = Catalogue()
        self._study_of_series: dict[str, str] = {}
        self.alarms = Alarms()
        self.reviews = Reviews(self._limits.max_studies * TASKS_PER_STUDY)
        self.nodes = Nodes()
        self.decisions = Decisions(self._limits.max_studies)
        self.feed = Feed()

    def apply(self, event: Event, place: Place | None = None) -> None:
        """Take one event in, read at this place; events that say nothing of a study or a task are ignored."""
        if isinstance(event, InferenceResult):
            self.reviews.note_result(event, place)
        match event:
            case StudyReady():
                with self._lock:
                    self._note_study(event, place)
            case InferenceTask() | TaskStatus() | InferenceResult() | DeliveryOutcome() | TaskCommand():
                with self._lock:
                    self._note_task(event)
                if isinstance(event, TaskStatus):
                    self.feed.note(event, place)
                elif isinstance(event, TaskCommand):
                    self.feed.note_command(event.task_id)
            case NodeHeartbeat():
                self.nodes.apply(event)
            case EligibilityDecision():
                self.decisions.apply(event)
            case EscalationStep():
                self.alarms.apply(event)
            case Adjudication():
                self.reviews.note_verdict(event)
            case _:
                return
        if len(self._studies) > self._limits.max_studies * 1.1:
            self.sweep()

    def learn(self, task: InferenceTask, status: TaskStatus) -> None:
        """Take in a task that this process just wrote; what the log told of it in the meantime counts more."""
        with self._lock:
            if task.task_id not in self._tasks:
                self._note_task(task)
                self._note_task(status)

    def _note_study(self, event: StudyReady | TaskEvent, place: Place | None = None) -> None:
        uid = event.study_instance_uid
        study = study_after(self._studies.get(uid), event, place)
        self._studies[uid] = study
        if isinstance(event, StudyReady):
            for series in study.series:
                self._study_of_series[series.series_instance_uid] = uid

    def _note_task(self, event: TaskEvent) -> None:
        known = self._tasks.get(event.task_id)
        task = task_after(known, event)
        if task is None:
            if isinstance(event, DeliveryOutcome | TaskCommand):
                self._keep_early(event)
            return
        self._tasks[event.task_id] = task
        self._line.note(known, task)
        self._catalogue.note(task)
        self._note_study(event)
        for early in self._early.pop(event.task_id, ()):
            self._note_task(early)

    def _keep_early(self, event: Follow) -> None:
        if event.task_id not in self._early and len(self._early) >= MAX_EARLY_TASKS:
            del self._early[next(iter(self._early))]
        self._early.setdefault(event.task_id, []).append(event)

    def study(self, study_instance_uid: str) -> StudyView | None:
        """Study, or ``None`` when it is not known (not complete yet, never seen, or long finished)."""
        with self._lock:
            return self._studies.get(study_instance_uid)

    def task(self, task_id: str) -> TaskView | None:
        """Task, or ``None`` when it is not known."""
        with self._lock:
            return self._tasks.get(task_id)

    def tasks_of(self, study: StudyView) -> list[TaskView]:
        """Tasks of a study, the oldest first."""
        with self._lock:
            known = [self._tasks[task_id] for task_id in study.task_ids if task_id in self._tasks]
        return sorted(known, key=lambda task: task.created_at)

    def tasks(self, state: TaskState | None = None) -> list[TaskView]:
        """All tasks (in one state) in the order in which they should be done."""
        with self._lock:
            known = [task for task in self._tasks.values() if state is None or task.state is state]
        return sorted(known, key=triage_order)

    def study_of_series(self, series_instance_uid: str) -> str | None:
        """StudyInstanceUID of a series, or ``None`` when it is not known."""
        with self._lock:
            return self._study_of_series.get(series_instance_uid)

    def under(self, request_key: str) -> TaskView | None:
        """Task that was asked for under a key."""
        with self._lock:
            found = self._catalogue.under(request_key)
            return None if found is None else self._tasks.get(found)

    def task_of_uuid(self, number: uuid.UUID) -> TaskView | None:
        """Task that a UUID stands for (:func:`schemas.ids.uuid_of`), or ``None`` when it is not known."""
        with self._lock:
            return self._tasks.get(self._catalogue.of_uuid(number))

    def newest(
        self,
        wanted: Callable[[TaskView], bool],
        before: Mark | None,
        most: int,
        study: str | None = None,
        kinds: Callable[[Kind], bool] | None = None,
    ) -> list[TaskView]:
        """Tasks (of one study) that are wanted, the newest first, from a mark on.

        Parameters
        ----------
        wanted
            Whether a task is wanted.
        before
            Where to begin; ``None``: with the newest.
        most
            How many at most.
        study
            StudyInstanceUID; ``None``: of any study.
        kinds
            Whether a task of a kind may be wanted: those of others are not looked at. ``None``: of any kind.
        """
        if study is not None:
            with self._lock:
                known = self._studies.get(study)
                ids = self._catalogue.newest_of(known.task_ids if known else (), before)
                tasks = [self._tasks[task_id] for task_id in ids]
            return list(islice(filter(wanted, tasks), most))
        found, fitting = list[TaskView](), None if kinds is None else Fitting(kinds)
        while True:
            # looked through outside the lock, a piece at a time: who reads the log must not wait for a search
            with self._lock:
                ids, before = self._catalogue.newest(before, PIECE, fitting)
                tasks = [self._tasks[task_id] for task_id in ids]
            found += islice(filter(wanted, tasks), most - len(found))
            if len(found) >= most or before is None:
                return found

    def place_in_line(self, task_id: str) -> line.Place | None:
        """Where a task stands among those that wait; ``None`` where it does not wait."""
        with self._lock:
            return self._line.place(task_id)

    def remaining_s(self, place: line.Place, model: str, nodes: int) -> float | None:
        """Seconds until a task that stands there is done; see :meth:`dashboards.live.line.Line.remaining_s`."""
        with self._lock:
            return self._line.remaining_s(place, model, nodes)

    def usual_s(self, model: str) -> float | None:
        """Median duration of a model's last runs, in seconds."""
        with self._lock:
            return self._line.usual_s(model)

    def worklist(self) -> list[tuple[StudyView, list[TaskView]]]:
        """Studies with their tasks: open ones by urgency and deadline, then finished ones, the latest first."""
        with self._lock:
            rows = [
                (study, [self._tasks[task_id] for task_id in study.task_ids if task_id in self._tasks])
                for study in self._studies.values()
            ]
        waiting = [row for row in rows if any(not task.finished for task in row[1])]
        done = [row for row in rows if all(task.finished for task in row[1])]
        waiting.sort(key=lambda row: min(triage_order(task) for task in row[1] if not task.finished))
        done.sort(key=lambda row: row[0].updated_at, reverse=True)
        return waiting + done

    def sizes(self) -> tuple[int, int]:
        """Numbers of studies and of tasks."""
        with self._lock:
            return len(self._studies), len(self._tasks)

    def sweep(self, now: datetime | None = None) -> int:
        """Forget finished studies that are too old (as of ``now``), then the oldest beyond the bound.

        Returns
        -------
        int
            Number of studies forgotten.
        """
        with self._lock:
            before = len(self._studies)
            if now is not None:
                limit = now - self._limits.keep_finished
                old = [study for study in self._studies.values() if study.updated_at < limit]
                self._forget(study for study in old if self._finished(study))
            surplus = len(self._studies) - self._limits.max_studies
            if surplus > 0:
                order = sorted(self._studies.values(), key=lambda s: (not self._finished(s), s.updated_at))
                self._forget(order[:surplus])
            return before - len(self._studies)

    def _finished(self, study: StudyView) -> bool:
        return all(self._tasks[task_id].finished for task_id in study.task_ids if task_id in self._tasks)

    def _forget(self, studies: Iterable[StudyView]) -> None:
        for study in studies:
            del self._studies[study.study_instance_uid]
            for series in study.series:
                self._study_of_series.pop(series.series_instance_uid, None)
            for task_id in study.task_ids:
                task = self._tasks.pop(task_id, None)
                if task is not None:
                    self._line.forget(task_id)
                    self._catalogue.forget(task)


def triage_order(task: TaskView) -> tuple[bool, int, datetime]:
    """Sort key: open before finished, the more urgent class first, the nearer deadline first."""
    return task.finished, task.priority.rank, task.deadline
