"""One event and what was known before → what is known now. Pure; applying an event twice changes nothing.

Events of different topics arrive in any order; events of one task keep theirs within a topic, so the last
status of a task is its state.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from dashboards.live.records import DeliveryView, Moment, ResultView, StudyView, TaskView
from schemas.events import (
    DeliveryOutcome,
    InferenceResult,
    InferenceTask,
    ResultOutcome,
    StudyReady,
    TaskState,
    TaskStatus,
)

#: Stages of an attempt in their order; deliveries follow.
STAGES: Final = ("queued", "preprocessing", "inferring", "postprocessing", "retry_wait", "result")

TaskEvent = InferenceTask | TaskStatus | InferenceResult | DeliveryOutcome


def study_after(known: StudyView | None, event: StudyReady | TaskEvent) -> StudyView:
    """Study after an event about it or about one of its tasks."""
    study = known or StudyView(event.study_instance_uid, event.occurred_at)
    study = replace(study, updated_at=max(study.updated_at, event.occurred_at))
    if isinstance(event, StudyReady):
        return _ready(study, event) if event.revision >= study.revision else study
    if event.task_id in study.task_ids:
        return study
    return replace(study, task_ids=(*study.task_ids, event.task_id))


def _ready(study: StudyView, event: StudyReady) -> StudyView:
    return replace(
        study,
        revision=event.revision,
        arrived_at=event.first_instance_at,
        last_instance_at=event.last_instance_at,
        ready_at=event.occurred_at,
        ready_reason=event.reason,
        instance_count=event.instance_count,
        series_count=len(event.series),
        modalities=tuple(sorted({series.modality for series in event.series if series.modality})),
        study_description=event.study_description,
        accession_number=event.accession_number,
        calling_ae_title=event.calling_ae_title,
        gateway=event.gateway,
        retrieve_url=event.retrieve_url,
    )


def task_after(known: TaskView | None, event: TaskEvent) -> TaskView | None:
    """Task after an event about it.

    ``None`` when only a delivery is known: it names no model and no deadline, so there is no task to show yet;
    the result that it delivers is read sooner or later.
    """
    match event:
        case InferenceTask():
            return _created(known, event)
        case TaskStatus():
            return _moved(known, event)
        case InferenceResult():
            return _answered(known, event)
        case DeliveryOutcome():
            return None if known is None else _delivered(known, event)


def _created(known: TaskView | None, event: InferenceTask) -> TaskView:
    task = known or TaskView(
        task_id=event.task_id,
        study_instance_uid=event.study_instance_uid,
        revision=event.revision,
        model_name=event.model_name,
        priority=event.priority,
        state=TaskState.QUEUED,
        progress=0,
        attempt=event.attempt,
        created_at=event.created_at,
        deadline=event.deadline,
        updated_at=event.occurred_at,
    )
    return replace(task, priority_reason=event.priority_reason, rule_revision=event.rule_revision)


def _moved(known: TaskView | None, event: TaskStatus) -> TaskView:
    task = known or TaskView(
        task_id=event.task_id,
        study_instance_uid=event.study_instance_uid,
        revision=event.revision,
        model_name=event.model_name,
        priority=event.priority,
        state=event.state,
        progress=event.progress,
        attempt=event.attempt,
        created_at=event.created_at,
        deadline=event.deadline,
        updated_at=event.occurred_at,
    )
    return replace(
        task,
        state=event.state,
        progress=event.progress,
        attempt=event.attempt,
        priority=event.priority,
        deadline=event.deadline,
        node=event.node or task.node,
        reason=event.reason,
        updated_at=max(task.updated_at, event.occurred_at),
        moments=with_moment(task.moments, Moment(event.state.value, event.occurred_at, event.attempt)),
    )


def _answered(known: TaskView | None, event: InferenceResult) -> TaskView:
    failed = event.outcome is ResultOutcome.COULD_NOT_RUN
    task = known or TaskView(
        task_id=event.task_id,
        study_instance_uid=event.study_instance_uid,
        revision=event.revision,
        model_name=event.model.name,
        priority=event.priority,
        state=TaskState.FAILED if failed else TaskState.COMPLETED,
        progress=100,
        attempt=event.attempt,
        created_at=event.task_created_at,
        deadline=event.deadline,
        updated_at=event.occurred_at,
        node=event.node,
        reason=event.reason,
    )
    result = ResultView(
        at=event.occurred_at,
        outcome=event.outcome,
        model=event.model,
        node=event.node,
        series_instance_uid=event.series_instance_uid,
        findings=event.findings,
        artifacts=event.artifacts,
        stages=event.stages,
        warnings=event.warnings,
        limitations=event.limitations,
        reason=event.reason,
    )
    return replace(
        task,
        result=result,
        updated_at=max(task.updated_at, event.occurred_at),
        moments=with_moment(task.moments, Moment("result", event.occurred_at, event.attempt)),
    )


def _delivered(task: TaskView, event: DeliveryOutcome) -> TaskView:
    delivery = DeliveryView(
        destination=event.destination,
        status=event.status,
        at=event.occurred_at,
        attempt=event.attempt,
        latency_ms=event.latency_ms,
        objects=event.objects,
        reason=event.reason,
    )
    others = [known for known in task.deliveries if known.destination != event.destination]
    moment = Moment(f"delivered:{event.destination}", event.occurred_at, event.attempt)
    return replace(
        task,
        deliveries=tuple(sorted([*others, delivery], key=lambda item: item.destination)),
        updated_at=max(task.updated_at, event.occurred_at),
        moments=with_moment(task.moments, moment),
    )


def with_moment(moments: tuple[Moment, ...], moment: Moment) -> tuple[Moment, ...]:
    """Moments in the order of time, one per stage and attempt: the first, which is when the stage was reached."""
    same = [known for known in moments if (known.name, known.attempt) == (moment.name, moment.attempt)]
    others = [known for known in moments if known not in same]
    first = min([*same, moment], key=lambda item: item.at)
    return tuple(sorted([*others, first], key=_order))


def _order(moment: Moment) -> tuple[datetime, int, str]:
    """By time; what bears the same time in the order of the stages."""
    place = STAGES.index(moment.name) if moment.name in STAGES else len(STAGES)
    return moment.at, place, moment.name
