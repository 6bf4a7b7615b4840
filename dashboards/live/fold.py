"""One event and what was known before → what is known now. Pure; applying an event twice changes nothing.

Events of different topics arrive in any order; events of one task keep theirs within a topic, so the last
status of a task is its state.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from dashboards.live.records import (
    Asked,
    DeliveryView,
    Moment,
    ResultView,
    Said,
    SeriesView,
    StudyView,
    TaskView,
)
from dashboards.live.reviews import Place
from schemas.events import (
    CommandKind,
    DeliveryOutcome,
    InferenceResult,
    InferenceTask,
    ResultOutcome,
    StudyReady,
    TaskCommand,
    TaskState,
    TaskStatus,
)
from schemas.topics import Priority

#: Stages of an attempt in their order; deliveries follow.
STAGES: Final = ("queued", "preprocessing", "inferring", "postprocessing", "retry_wait", "result")

TaskEvent = InferenceTask | TaskStatus | InferenceResult | DeliveryOutcome | TaskCommand

#: Events of a task that say too little of it to make it known.
Follow = DeliveryOutcome | TaskCommand


def study_after(known: StudyView | None, event: StudyReady | TaskEvent, place: Place | None = None) -> StudyView:
    """Study after an event about it or about one of its tasks, read at ``place``."""
    study = known or StudyView(event.study_instance_uid, event.occurred_at)
    study = replace(study, updated_at=max(study.updated_at, event.occurred_at))
    if isinstance(event, StudyReady):
        return _ready(study, event, place) if event.revision >= study.revision else study
    if event.task_id in study.task_ids:
        return study
    return replace(study, task_ids=(*study.task_ids, event.task_id))


def _ready(study: StudyView, event: StudyReady, place: Place | None) -> StudyView:
    return replace(
        study,
        place=place,
        series=tuple(
            SeriesView(one.series_instance_uid, one.modality, one.series_description, len(one.sop_instance_uids))
            for one in event.series
        ),
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

    ``None`` when only a delivery or a command is known: it names no model and no deadline, so there is no task to
    show yet; the task or its result is read sooner or later.
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
        case TaskCommand():
            return None if known is None else _told(known, event)


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
    asked = Asked(
        requested_by=event.requested_by,
        series_instance_uids=tuple(series.series_instance_uid for series in event.series),
        retrieve_url=event.retrieve_url,
        accession_number=event.accession_number,
        parameters=event.parameters,
        model_version=event.model_version,
        useful_until=event.useful_until,
        partial=event.partial,
        request_key=event.request_key,
        request_digest=event.request_digest,
    )
    # what an upgrade said stays said
    reason = event.priority_reason if task.upgraded is None else task.priority_reason or event.priority_reason
    return replace(task, asked=asked, priority_reason=reason, rule_revision=event.rule_revision)


def _told(task: TaskView, event: TaskCommand) -> TaskView:
    if event.unless_begun:  # a status says whether that came in time
        return task
    contact = event.contact_name, event.contact_uri
    said = Said(event.occurred_at, event.actor, event.reason, event.reason_codes, *contact)
    commanded_at = max(task.commanded_at or event.occurred_at, event.occurred_at)
    task = replace(task, updated_at=max(task.updated_at, event.occurred_at), commanded_at=commanded_at)
    match event.kind:
        case CommandKind.CANCEL:
            return replace(task, cancelled=task.cancelled or said)
        case CommandKind.HOLD:
            return replace(task, held=said)
        case CommandKind.RELEASE:
            return replace(task, held=None)
        case CommandKind.UPGRADE:
            return _upgraded(task, event)


def _upgraded(task: TaskView, event: TaskCommand) -> TaskView:
    if event.priority is None or more_urgent(event.priority, task.upgraded) is task.upgraded:
        return task
    priority = more_urgent(event.priority, task.priority)
    deadline = task.deadline if event.deadline is None else min(task.deadline, event.deadline)
    reason = event.priority_reason or task.priority_reason
    return replace(task, upgraded=event.priority, priority=priority, deadline=deadline, priority_reason=reason)


def more_urgent(one: Priority, other: Priority | None) -> Priority:
    """The more urgent of two classes; of equals the second."""
    return one if other is None or one.rank < other.rank else other


def _moved(known: TaskView | None, event: TaskStatus) -> TaskView:
    progress = min(max(event.progress, 0), 100)  # whatever a worker of others counts
    task = known or TaskView(
        task_id=event.task_id,
        study_instance_uid=event.study_instance_uid,
        revision=event.revision,
        model_name=event.model_name,
        priority=event.priority,
        state=event.state,
        progress=progress,
        attempt=event.attempt,
        created_at=event.created_at,
        deadline=event.deadline,
        updated_at=event.occurred_at,
    )
    return replace(
        task,
        state=event.state,
        progress=progress,
        attempt=event.attempt,
        # whoever writes the status may not have read the upgrade yet
        priority=more_urgent(event.priority, task.upgraded),
        deadline=event.deadline if task.upgraded is None else min(event.deadline, task.deadline),
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
