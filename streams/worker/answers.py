"""What became of a task → the events that say so. Pure and deterministic but for the time given.

Every answer holds a status; the worker writes it in one transaction with the offset of the task.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from schemas import ids
from schemas.errors import ScanstreamError
from schemas.events import (
    Artifact,
    Event,
    Finding,
    InferenceResult,
    InferenceTask,
    ResultOutcome,
    SeriesContent,
    StageTime,
    TaskState,
    TaskStatus,
)
from schemas.topics import Topic

if TYPE_CHECKING:  # only types: who writes answers need not load the libraries that compute them
    from engines.model import Model
    from engines.outcome import Found, Outcome

#: Seconds to wait before attempt 2 and attempt 3.
RETRY_DELAYS_S: Final = (5.0, 15.0)

PROGRESS: Final = {
    TaskState.PREPROCESSING: 10,
    TaskState.INFERRING: 40,
    TaskState.POSTPROCESSING: 80,
    TaskState.COMPLETED: 100,
}


@dataclass(frozen=True)
class Answer:
    """What is written about a task.

    Attributes
    ----------
    outcome
        One word for the metrics.
    events
        Topic, key, event.
    retry
        The next attempt, for the retry topic.
    error
        Why the task was not completed.
    dead_letter
        Whether the message goes to the dead-letter topic as it came.
    """

    outcome: str
    events: tuple[tuple[Topic, str, Event], ...]
    retry: InferenceTask | None = None
    error: ScanstreamError | None = None
    dead_letter: bool = False


def status(
    task: InferenceTask, state: TaskState, node: str, now: datetime, reason: str | None = None
) -> TaskStatus:
    """Status event of a task; the same move always has the same id."""
    return TaskStatus(
        event_id=ids.event_id("status", task.task_id, task.attempt, state.value),
        occurred_at=now,
        task_id=task.task_id,
        study_instance_uid=task.study_instance_uid,
        revision=task.revision,
        model_name=task.model_name,
        priority=task.priority,
        state=state,
        progress=PROGRESS.get(state, 0),
        attempt=task.attempt,
        created_at=task.created_at,
        deadline=task.deadline,
        node=node,
        reason=reason,
    )


def completed(
    task: InferenceTask,
    series: SeriesContent,
    model: Model,
    outcome: Outcome,
    artifacts: tuple[Artifact, ...],
    stages: tuple[StageTime, ...],
    node: str,
    now: datetime,
) -> Answer:
    """The model ran: result with its findings if there are any, status ``completed``."""
    findings = tuple(_finding(task, series, found, now) for found in outcome.found)
    result = dataclasses.replace(
        _result(task, model, series.series_instance_uid, outcome.outcome, node, now),
        sop_instance_uids=outcome.sop_instance_uids,
        findings=findings,
        artifacts=artifacts,
        stages=stages,
        warnings=outcome.warnings,
        image_quality_warnings=outcome.image_quality_warnings,
        out_of_domain_warnings=outcome.out_of_domain_warnings,
        quality=outcome.quality,
    )
    moved = status(task, TaskState.COMPLETED, node, now)
    return Answer(
        outcome.outcome.value,
        (
            (Topic.RESULTS, task.study_instance_uid, result),
            (Topic.STATUS, task.task_id, moved),
        ),
    )


def could_not_run(task: InferenceTask, model: Model, error: ScanstreamError, node: str, now: datetime) -> Answer:
    """The model can never run on this study: a result that says why, status ``failed``."""
    series = task.series[0].series_instance_uid if task.series else ""
    result = dataclasses.replace(
        _result(task, model, series, ResultOutcome.COULD_NOT_RUN, node, now), reason=str(error)
    )
    moved = status(task, TaskState.FAILED, node, now, str(error))
    return Answer(
        ResultOutcome.COULD_NOT_RUN.value,
        ((Topic.RESULTS, task.study_instance_uid, result), (Topic.STATUS, task.task_id, moved)),
        error=error,
    )


def failed_for_now(task: InferenceTask, model: Model, error: ScanstreamError, node: str, now: datetime) -> Answer:
    """Try again later, not here if it can be helped; after the last attempt the task has failed."""
    if task.attempt > len(RETRY_DELAYS_S):
        return could_not_run(task, model, error, node, now)
    not_before = now + timedelta(seconds=RETRY_DELAYS_S[task.attempt - 1])
    following = dataclasses.replace(
        task,
        event_id=ids.event_id("task-attempt", task.task_id, task.attempt + 1),
        occurred_at=now,
        attempt=task.attempt + 1,
        not_before=not_before,
        excluded_nodes=tuple(dict.fromkeys((*task.excluded_nodes, node))),
    )
    moved = status(task, TaskState.RETRY_WAIT, node, now, str(error))
    return Answer("retry", ((Topic.STATUS, task.task_id, moved),), retry=following, error=error)


def dead_letter(task: InferenceTask, error: ScanstreamError, node: str, now: datetime) -> Answer:
    """Nobody here can even say which model was meant: dead-letter topic and status ``failed``."""
    moved = status(task, TaskState.FAILED, node, now, str(error))
    return Answer("dead_letter", ((Topic.STATUS, task.task_id, moved),), error=error, dead_letter=True)


def _result(
    task: InferenceTask, model: Model, series: str, outcome: ResultOutcome, node: str, now: datetime
) -> InferenceResult:
    return InferenceResult(
        event_id=ids.event_id("result", task.task_id),
        occurred_at=now,
        task_id=task.task_id,
        study_instance_uid=task.study_instance_uid,
        series_instance_uid=series,
        revision=task.revision,
        priority=task.priority,
        outcome=outcome,
        model=model.identity(),
        task_created_at=task.created_at,
        deadline=task.deadline,
        node=node,
        attempt=task.attempt,
        retrieve_url=task.retrieve_url,
        sop_instance_uids=(),
        limitations=model.metadata.limitations,
        accession_number=task.accession_number,
        callback_url=task.callback_url,
    )


def _finding(task: InferenceTask, series: SeriesContent, found: Found, now: datetime) -> Finding:
    about = (task.task_id, found.finding_type, found.number)
    return Finding(
        event_id=ids.event_id("finding-event", *about),
        occurred_at=now,
        finding_id=ids.event_id("finding", *about),
        finding_type=found.finding_type,
        task_id=task.task_id,
        study_instance_uid=task.study_instance_uid,
        series_instance_uid=series.series_instance_uid,
        revision=task.revision,
        code=found.code,
        category=found.category,
        tracking_id=f"{found.finding_type}-{found.number}",
        tracking_uid=ids.dicom_uid("tracking", *about),
        measurements=found.measurements,
        probability=found.probability,
        site=found.site,
        segment_number=found.segment_number,
        warnings=found.warnings,
        laterality=found.laterality,
        locations=found.locations,
        characteristics=found.characteristics,
        evidence=found.evidence,
    )
