"""What became of a task → the events that say so. Pure and deterministic but for the time given.

Every answer holds a status; the worker writes it in one transaction with the offset of the task.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from schemas import ids
from schemas.codec import Codec
from schemas.errors import InvalidInput, ScanstreamError
from schemas.events import (
    Artifact,
    Event,
    Finding,
    InferenceResult,
    InferenceTask,
    ModelIdentity,
    ResultOutcome,
    SeriesContent,
    StageTime,
    TaskState,
    TaskStatus,
)
from schemas.topics import MAX_MESSAGE_BYTES, Topic

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

#: Stands for what is not known of a model that is not there; FHIR takes no empty text.
_UNKNOWN: Final = "unknown"
_NO_DIGEST: Final = "0" * 64

#: Largest result that Kafka takes with its headers and framing; a larger one could never be written.
LARGEST_RESULT_BYTES: Final = MAX_MESSAGE_BYTES - 64 * 1024

_CODEC: Final = Codec()


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
    stages
        How long each stage took, for the metrics.
    """

    outcome: str
    events: tuple[tuple[Topic, str, Event], ...]
    retry: InferenceTask | None = None
    error: ScanstreamError | None = None
    dead_letter: bool = False
    stages: tuple[StageTime, ...] = ()


def status(
    task: InferenceTask,
    state: TaskState,
    node: str,
    now: datetime,
    reason: str | None = None,
    *,
    model_version: str | None = None,
    progress: int | None = None,
) -> TaskStatus:
    """Status event of a task; the same move always has the same id, as has the same progress in a state."""
    further = () if progress is None or progress == PROGRESS.get(state, 0) else (progress,)
    return TaskStatus(
        event_id=ids.event_id("status", task.task_id, task.attempt, state.value, *further),
        occurred_at=now,
        task_id=task.task_id,
        study_instance_uid=task.study_instance_uid,
        revision=task.revision,
        model_name=task.model_name,
        priority=task.priority,
        state=state,
        progress=PROGRESS.get(state, 0) if progress is None else progress,
        attempt=task.attempt,
        created_at=task.created_at,
        deadline=task.deadline,
        node=node,
        reason=reason,
        model_version=model_version or task.model_version,
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
    """The model ran: result with its findings if there are any, status ``completed``; too large, it is told."""
    result = _ran(task, series, model, outcome, artifacts, stages, node, now)
    error = _too_large(result)
    if error is not None:
        return could_not_run(task, result.model, error, node, now, result.limitations)
    moved = status(task, TaskState.COMPLETED, node, now, model_version=result.model.version)
    return Answer(
        outcome.outcome.value,
        (
            (Topic.RESULTS, task.study_instance_uid, result),
            (Topic.STATUS, task.task_id, moved),
        ),
        stages=stages,
    )


def of_shadow(
    task: InferenceTask,
    series: SeriesContent,
    model: Model,
    outcome: Outcome | ScanstreamError,
    node: str,
    now: datetime,
) -> tuple[Topic, str, InferenceResult]:
    """What a version that runs unseen said about the images of a task, or why it could not: topic, key, event."""
    if not isinstance(outcome, ScanstreamError):
        result = _ran(task, series, model, outcome, (), outcome.stages, node, now, model.info.sha256)
        outcome = _too_large(result) or outcome
    if isinstance(outcome, ScanstreamError):
        identity, limitations = model.identity(), model.metadata.limitations
        could_not = ResultOutcome.COULD_NOT_RUN
        result = _result(task, identity, limitations, series.series_instance_uid, could_not, node, now)
        result = dataclasses.replace(result, reason=str(outcome))
    unseen = dataclasses.replace(
        result, event_id=ids.event_id("shadow-result", task.task_id, model.info.sha256), callback_url=None
    )
    return Topic.SHADOW, task.study_instance_uid, unseen


def could_not_run(
    task: InferenceTask,
    model: ModelIdentity | None,
    error: ScanstreamError,
    node: str,
    now: datetime,
    limitations: str | None = None,
) -> Answer:
    """The model can never run on this study: a result that says why, status ``failed``.

    ``model`` is none where there is no such model or version, or none that can serve: the result names what was
    asked for.
    """
    series = task.series[0].series_instance_uid if task.series else ""
    named, could_not = model or _asked_for(task), ResultOutcome.COULD_NOT_RUN
    result = dataclasses.replace(
        _result(task, named, limitations, series, could_not, node, now), reason=str(error)
    )
    version = model.version if model is not None else None
    moved = status(task, TaskState.FAILED, node, now, str(error), model_version=version)
    return Answer(
        ResultOutcome.COULD_NOT_RUN.value,
        ((Topic.RESULTS, task.study_instance_uid, result), (Topic.STATUS, task.task_id, moved)),
        error=error,
    )


def failed_for_now(
    task: InferenceTask,
    model: ModelIdentity | None,
    error: ScanstreamError,
    node: str,
    now: datetime,
    limitations: str | None = None,
) -> Answer:
    """Try again later, not here if it can be helped; after the last attempt the task has failed.

    ``model`` is none where no version of it can serve.
    """
    if task.attempt > len(RETRY_DELAYS_S):
        return could_not_run(task, model, error, node, now, limitations)
    attempt = max(task.attempt, 1)  # whoever counts from below has no more attempts than others
    not_before = now + timedelta(seconds=RETRY_DELAYS_S[attempt - 1])
    following = dataclasses.replace(
        task,
        event_id=ids.event_id("task-attempt", task.task_id, attempt + 1),
        occurred_at=now,
        attempt=attempt + 1,
        not_before=not_before,
        excluded_nodes=tuple(dict.fromkeys((*task.excluded_nodes, node))),
    )
    version = model.version if model is not None else None
    moved = status(task, TaskState.RETRY_WAIT, node, now, str(error), model_version=version)
    return Answer("retry", ((Topic.STATUS, task.task_id, moved),), retry=following, error=error)


def _too_large(result: InferenceResult) -> InvalidInput | None:
    size = len(_CODEC.encode(result))
    if size <= LARGEST_RESULT_BYTES:
        return None
    return InvalidInput(
        f"the result has {len(result.findings)} findings and {size} bytes, and an event holds "
        f"{LARGEST_RESULT_BYTES}: raise the thresholds of the model, or its minimum volume"
    )


def _asked_for(task: InferenceTask) -> ModelIdentity:
    version = task.model_version or _UNKNOWN
    uid = ids.dicom_uid("device", task.model_name, version, _NO_DIGEST)
    return ModelIdentity(task.model_name or _UNKNOWN, version, _NO_DIGEST, _UNKNOWN, uid, _UNKNOWN)


def _ran(
    task: InferenceTask,
    series: SeriesContent,
    model: Model,
    outcome: Outcome,
    artifacts: tuple[Artifact, ...],
    stages: tuple[StageTime, ...],
    node: str,
    now: datetime,
    scope: str | None = None,
) -> InferenceResult:
    """``scope`` keeps the ids of findings that are not the task's apart from those that are."""
    identity, limitations = model.identity(), model.metadata.limitations
    return dataclasses.replace(
        _result(task, identity, limitations, series.series_instance_uid, outcome.outcome, node, now),
        sop_instance_uids=outcome.sop_instance_uids,
        findings=tuple(_finding(task, series, found, now, scope) for found in outcome.found),
        artifacts=artifacts,
        stages=stages,
        warnings=outcome.warnings,
        image_quality_warnings=outcome.image_quality_warnings,
        out_of_domain_warnings=outcome.out_of_domain_warnings,
        quality=outcome.quality,
    )


def _result(
    task: InferenceTask,
    model: ModelIdentity,
    limitations: str | None,
    series: str,
    outcome: ResultOutcome,
    node: str,
    now: datetime,
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
        model=model,
        task_created_at=task.created_at,
        deadline=task.deadline,
        node=node,
        attempt=task.attempt,
        retrieve_url=task.retrieve_url,
        sop_instance_uids=(),
        limitations=limitations,
        accession_number=task.accession_number,
        callback_url=task.callback_url,
        patient_key=task.patient_key,
        output_formats=() if task.parameters is None else task.parameters.output_formats,
    )


def _finding(
    task: InferenceTask, series: SeriesContent, found: Found, now: datetime, scope: str | None
) -> Finding:
    own = (task.task_id,) if scope is None else (task.task_id, scope)
    about = (*own, found.finding_type, found.number)
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
