"""Records of the live view → models of the API. Pure; ``now`` decides what is overdue."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from dashboards.api import models
from dashboards.api.review_models import verdict_of
from dashboards.live.records import DeliveryView, Moment, ResultView, StudyView, TaskView
from dashboards.live.reviews import Review, Verdict
from schemas.events import Finding, ObjectOutcome

#: Names for people of the objects that writers make (PS3.6 table A-1).
OBJECT_NAMES: Final = {
    "1.2.840.10008.5.1.4.1.1.66.4": "SEG",
    "1.2.840.10008.5.1.4.1.1.88.33": "SR",
    "1.2.840.10008.5.1.4.1.1.88.34": "SR",
}


def task(
    view: TaskView, now: datetime, arrived_at: datetime | None = None, review: Review | None = None
) -> models.Task:
    """Task for the API.

    Parameters
    ----------
    view
        What is known.
    now
        Current time, UTC.
    arrived_at
        First image of the study, if known; the timeline counts from there.
    review
        What radiologists decided about its result.
    """
    ended = max((moment.at for moment in view.moments), default=now) if view.finished else now
    return models.Task(
        task_id=view.task_id,
        study_instance_uid=view.study_instance_uid,
        revision=view.revision,
        model=view.model_name,
        priority=view.priority,
        priority_reason=view.priority_reason,
        rule_revision=view.rule_revision,
        state=view.state,
        progress=view.progress,
        attempt=view.attempt,
        created_at=view.created_at,
        deadline=view.deadline,
        updated_at=view.updated_at,
        overdue=ended > view.deadline,
        node=view.node,
        reason=view.reason,
        timeline=[_stage(moment, arrived_at) for moment in view.moments],
        result=None if view.result is None else _result(view.result, review),
        deliveries=[_delivery(delivery) for delivery in view.deliveries],
    )


def study(
    view: StudyView, tasks: list[TaskView], now: datetime, review: Callable[[str], Review | None]
) -> models.Study:
    """Study for the API, with its tasks, timeline and objects; ``review`` gives what was decided about a task."""
    made = [item for one in tasks for item in objects(one)]
    reports = [item.url for item in made if item.object_type == "DiagnosticReport" and item.url]
    return models.Study(
        study_instance_uid=view.study_instance_uid,
        revision=view.revision,
        arrived_at=view.arrived_at,
        last_instance_at=view.last_instance_at,
        ready_at=view.ready_at,
        ready_reason=view.ready_reason,
        instance_count=view.instance_count,
        series_count=view.series_count,
        modalities=list(view.modalities),
        study_description=view.study_description,
        accession_number=view.accession_number,
        calling_ae_title=view.calling_ae_title,
        gateway=view.gateway,
        updated_at=view.updated_at,
        retrieve_url=view.retrieve_url,
        report_url=reports[-1] if reports else None,
        timeline=timeline(view, tasks),
        objects=made,
        tasks=[task(one, now, view.arrived_at, review(one.task_id)) for one in tasks],
    )


def objects(view: TaskView) -> list[models.DeliveredObject]:
    """Objects that were made of a task's result, at each destination."""
    return [_object(delivery, item) for delivery in view.deliveries for item in delivery.objects]


def timeline(view: StudyView, tasks: list[TaskView]) -> list[models.Stage]:
    """Everything that happened to a study and its tasks, in the order of time."""
    arrival = [
        Moment(name, at)
        for name, at in (
            ("arrived", view.arrived_at),
            ("last image", view.last_instance_at),
            ("complete", view.ready_at),
        )
        if at is not None
    ]
    moments = sorted([*arrival, *(moment for one in tasks for moment in one.moments)], key=lambda m: m.at)
    return [_stage(moment, view.arrived_at) for moment in moments]


def _stage(moment: Moment, arrived_at: datetime | None) -> models.Stage:
    since = None if arrived_at is None else round((moment.at - arrived_at).total_seconds() * 1000, 3)
    return models.Stage(name=moment.name, at=moment.at, since_arrival_ms=since, attempt=moment.attempt)


def _delivery(view: DeliveryView) -> models.Delivery:
    return models.Delivery(
        destination=view.destination,
        status=view.status,
        at=view.at,
        attempt=view.attempt,
        latency_ms=view.latency_ms,
        reason=view.reason,
    )


def _object(delivery: DeliveryView, item: ObjectOutcome) -> models.DeliveredObject:
    return models.DeliveredObject(
        destination=delivery.destination,
        object_type=item.object_type,
        name=OBJECT_NAMES.get(item.object_type, item.object_type),
        identifier=item.identifier,
        status=item.status,
        url=item.url,
        status_code=item.status_code,
        reason=item.reason,
    )


def _result(view: ResultView, review: Review | None) -> models.Result:
    verdicts = review.verdicts if review is not None else {}
    result_id = review.result_id if review is not None else None
    whole = verdicts.get(result_id) if result_id is not None else None
    return models.Result(
        at=view.at,
        outcome=view.outcome,
        series_instance_uid=view.series_instance_uid,
        model=f"{view.model.name} {view.model.version}",
        engine=view.model.engine,
        result_id=result_id,
        verdict=None if whole is None else verdict_of(whole.given),
        findings=[_finding(finding, verdicts.get(finding.finding_id)) for finding in view.findings],
        artifacts=[
            models.ArtifactModel(
                kind=artifact.kind,
                media_type=artifact.media_type,
                retrieve_url=artifact.retrieve_url,
                sha256=artifact.sha256,
                size_bytes=artifact.size_bytes,
                shape=list(artifact.shape),
            )
            for artifact in view.artifacts
        ],
        stages=[models.ModelRun(name=stage.name, duration_ms=stage.duration_ms) for stage in view.stages],
        warnings=list(view.warnings),
        limitations=view.limitations,
        reason=view.reason,
    )


def _finding(given: Finding, verdict: Verdict | None) -> models.FindingModel:
    finding = verdict.finding or given if verdict is not None else given
    return models.FindingModel(
        finding_id=finding.finding_id,
        finding_type=finding.finding_type,
        name=finding.code.meaning,
        category=finding.category,
        probability=finding.probability,
        site=None if finding.site is None else finding.site.meaning,
        laterality=finding.laterality,
        measurements=[
            models.MeasurementModel(name=item.code.meaning, value=item.value, unit=item.unit.value)
            for item in finding.measurements
        ],
        warnings=list(finding.warnings),
        verdict=None if verdict is None else verdict_of(verdict.given),
    )
