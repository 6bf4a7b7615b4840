"""Study that is ready → one inference task per model that wants it, or an audit event that says why there is none.

Pure. The task ids are made from study, revision and model, so the same revision always makes the same tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from schemas import ids
from schemas.events import AuditEvent, InferenceTask, SeriesContent, StudyReady, TaskState, TaskStatus
from schemas.topics import TASK_TOPICS, Topic
from streams.clock import Instant
from streams.partition import Output
from streams.rules import Facts, Route, Rules
from streams.sop_classes import is_image


@dataclass(frozen=True)
class Router:
    """Decides what a ready study leads to.

    Attributes
    ----------
    rules
        Priorities, deadlines and routes.
    site, node
        Who says so in audit events.
    """

    rules: Rules
    site: str
    node: str

    def outputs(self, ready: StudyReady, at: Instant) -> list[Output]:
        """Tasks on their priority topics, each with its first status; without a route, an audit event."""
        tasks = tasks_for(ready, self.rules, at)
        if not tasks:
            return [Output(Topic.AUDIT, self.site, self._not_routed(ready, at))]
        outputs = [Output(TASK_TOPICS[task.priority], task.study_instance_uid, task) for task in tasks]
        return outputs + [Output(Topic.STATUS, task.task_id, queued(task, at)) for task in tasks]

    def _not_routed(self, ready: StudyReady, at: Instant) -> AuditEvent:
        """Application Activity (DCM 110100, PS3.16 CID 400): the study was looked at and nothing will run."""
        modalities = ", ".join(sorted(facts_of(ready).modality)) or "no modality"
        return AuditEvent(
            event_id=ids.event_id("audit-not-routed", ready.study_instance_uid, ready.revision),
            occurred_at=at.utc,
            site=self.site,
            node=self.node,
            code="110100",
            action="E",
            outcome=0,
            description=f"no model is routed for this study ({modalities}, {len(ready.series)} series): "
            f"no route of rules {self.rules.revision} takes any of its series",
            study_instance_uid=ready.study_instance_uid,
            detail={"revision": str(ready.revision), "rule_revision": self.rules.revision},
        )


def tasks_for(ready: StudyReady, rules: Rules, at: Instant) -> tuple[InferenceTask, ...]:
    """One task per route that takes a series of the study, in the order of the routes."""
    decision = rules.decide(facts_of(ready))
    deadline = at.utc + timedelta(seconds=rules.deadlines_s.of(decision.priority))
    tasks = []
    for route in rules.routes:
        series = chosen_series(ready, route)
        if series is None:
            continue
        task_id = ids.task_id(ready.study_instance_uid, ready.revision, route.model)
        tasks.append(
            InferenceTask(
                event_id=ids.event_id("inference-task", task_id, 1),
                occurred_at=at.utc,
                task_id=task_id,
                study_instance_uid=ready.study_instance_uid,
                revision=ready.revision,
                model_name=route.model,
                priority=decision.priority,
                priority_reason=decision.reason,
                rule_revision=rules.revision,
                created_at=at.utc,
                deadline=deadline,
                retrieve_url=ready.retrieve_url,
                series=(series,),
                accession_number=ready.accession_number,
            )
        )
    return tuple(tasks)


def chosen_series(ready: StudyReady, route: Route) -> SeriesContent | None:
    """Series that a route takes: the one with most instances; of equals, the lowest UID."""
    if not route.study_description.passes(ready.study_description):
        return None
    taken = [series for series in ready.series if _takes(route, series)]
    return min(taken, key=lambda item: (-len(item.sop_instance_uids), item.series_instance_uid), default=None)


def _takes(route: Route, series: SeriesContent) -> bool:
    return (
        is_image(series.sop_class_uid)
        and route.takes_modality(series.modality)
        and len(series.sop_instance_uids) >= route.minimum_instances
        and route.body_part.passes(series.body_part_examined)
        and route.series_description.passes(series.series_description)
    )


def facts_of(ready: StudyReady) -> Facts:
    """What the rules look at."""
    return Facts(
        modality=frozenset(series.modality for series in ready.series if series.modality),
        body_part=frozenset(series.body_part_examined for series in ready.series if series.body_part_examined),
        study_description=ready.study_description,
        calling_ae_title=ready.calling_ae_title,
        called_ae_title=ready.called_ae_title,
        requested_procedure_priority=ready.requested_procedure_priority,
    )


def queued(task: InferenceTask, at: Instant) -> TaskStatus:
    """Status of a task that has been put on its priority topic."""
    return TaskStatus(
        event_id=ids.event_id("task-status", task.task_id, task.attempt, TaskState.QUEUED.value),
        occurred_at=at.utc,
        task_id=task.task_id,
        study_instance_uid=task.study_instance_uid,
        revision=task.revision,
        model_name=task.model_name,
        priority=task.priority,
        state=TaskState.QUEUED,
        progress=0,
        attempt=task.attempt,
        created_at=task.created_at,
        deadline=task.deadline,
    )
