"""Study that is ready → a decision for each route: an inference task, or the reasons why there is none.

Pure. The task ids are made from study, revision and model, so the same revision always makes the same tasks. A
study for which nothing runs leads to an audit event, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from schemas import ids
from schemas.events import (
    AuditEvent,
    EligibilityDecision,
    InferenceTask,
    SeriesContent,
    StudyReady,
    TaskReference,
    TaskState,
    TaskStatus,
)
from schemas.topics import TASK_TOPICS, Topic
from streams.clock import Instant
from streams.decided import Decided, revised, upgrade, withdrawn
from streams.eligibility import assess, lacks_context
from streams.facts import HELD, Clinical, Facts
from streams.partition import Output
from streams.rules import Decision, Route, Rules
from streams.series import content_id

#: A task of an order on hold does not begin before its worker can have read that.
_UNTIL_HELD: Final = timedelta(seconds=10)


@dataclass(frozen=True)
class Routed:
    """What a ready study led to; ``new`` says whether a task is among it that did not run before."""

    outputs: tuple[Output, ...]
    decided: Decided
    new: bool


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

    def route(self, ready: StudyReady, clinical: Clinical, before: Decided, at: Instant) -> Routed:
        """Decide about a revision.

        Parameters
        ----------
        ready
            The study, or its complete series.
        clinical
            What orders and admissions say about it.
        before
            The decision about the revision before. If that, or this one, has only the complete series, or this
            one is made because more is known of the patient, a model that would see the same images again does not
            run again.
        at
            Now.
        """
        decided_now = self.rules.decide(facts_of(ready).given(clinical))
        decision, rule_revision = before.at_least(decided_now, self.rules.revision)
        in_parts = before.partial_content is not None or before.lacks_context or not ready.complete
        # of each model the newest, which stands last
        started = {task.model_name: task for task in before.tasks}
        tasks: list[InferenceTask] = []
        references: list[TaskReference] = []
        verdicts: list[EligibilityDecision] = []
        lacks = False
        for route in self.rules.routes:
            if not ready.complete and route.waits_for_all:
                continue
            assessment = assess(ready, route, clinical, self.site)
            reference = None
            if assessment.series is None and ready.complete:
                lacks = lacks or lacks_context(ready, route, clinical, self.site)
            if assessment.series is not None:
                reference = _same(started.get(route.model), assessment.series) if in_parts else None
                if reference is None:
                    task = self._task(ready, route, assessment.series, decision, rule_revision, clinical, at)
                    tasks.append(task)
                    reference = _reference(task, assessment.series)
                references.append(reference)
            if reference is not None or ready.complete:
                verdicts.append(self._verdict(ready, route, assessment.series, assessment.reasons, reference, at))
        uid = ready.study_instance_uid
        begins = self.rules.times(decision, at.utc).not_before or at.utc
        kept = {one.task_id for one in references}
        models = None if ready.complete else {one.model_name for one in references}
        gone = withdrawn(before, kept, clinical, self.rules, begins, models)
        if before.order_status != HELD:
            tasks = [_in_place_of(task, gone) for task in tasks]
        deadlines = {task.task_id: task.deadline for task in tasks}
        decided = Decided(
            decision.priority,
            decision.reason,
            rule_revision,
            tuple(replace(one, deadline=deadlines.get(one.task_id, one.deadline)) for one in references),
            partial_content=None if ready.complete else content_id(*ready.series),
            lacks_context=lacks,
        )
        decided, commands = revised(uid, before, gone, decided, ready.revision, clinical, at)
        decided, upgrades = upgrade(uid, decided, decision, self.rules, at, rule_revision)
        outputs = [Output(TASK_TOPICS[task.priority], uid, task) for task in tasks]
        outputs += [Output(Topic.STATUS, task.task_id, queued(task, at.utc)) for task in tasks]
        outputs += [Output(Topic.ELIGIBILITY, uid, verdict) for verdict in verdicts]
        if not references and ready.complete:
            outputs.append(Output(Topic.AUDIT, self.site, self._not_routed(ready, at)))
        outputs += [Output(Topic.COMMANDS, command.task_id, command) for command in (*commands, *upgrades)]
        return Routed(tuple(outputs), decided, bool(tasks))

    def runs_more(self, ready: StudyReady, clinical: Clinical, before: Decided) -> bool:
        """Whether a model would see a study now, for the consent and age that are told, that has no task of it.

        A model that would see it without them is new among the rules; studies of before those are not its matter.
        """
        served = {task.model_name for task in before.tasks}
        untold = replace(clinical, consent=None, patient_age_years=None)
        return any(
            assess(ready, route, clinical, self.site).series is not None
            and assess(ready, route, untold, self.site).series is None
            for route in self.rules.routes
            if route.model not in served
        )

    def _task(
        self,
        ready: StudyReady,
        route: Route,
        series: SeriesContent,
        decision: Decision,
        rule_revision: str,
        clinical: Clinical,
        at: Instant,
    ) -> InferenceTask:
        task_id = ids.task_id(ready.study_instance_uid, ready.revision, route.model)
        times = self.rules.times(decision, at.utc)
        not_before = times.not_before
        if clinical.order_status == HELD:
            # the command that holds it is read at another pace than the task
            not_before = max(not_before or at.utc, at.utc + _UNTIL_HELD)
        age = clinical.patient_age_years if ready.patient_age_years is None else ready.patient_age_years
        return InferenceTask(
            event_id=ids.event_id("inference-task", task_id, 1),
            occurred_at=at.utc,
            task_id=task_id,
            study_instance_uid=ready.study_instance_uid,
            revision=ready.revision,
            model_name=route.model,
            priority=decision.priority,
            priority_reason=decision.reason,
            rule_revision=rule_revision,
            created_at=at.utc,
            deadline=times.deadline,
            retrieve_url=ready.retrieve_url,
            series=(series,),
            not_before=not_before,
            accession_number=ready.accession_number,
            patient_key=ready.patient_key,
            patient_age_years=age,
            useful_until=times.useful_until,
            indication=clinical.indication,
            partial=not ready.complete,
            study_date_time=ready.study_date_time,
        )

    def _verdict(
        self,
        ready: StudyReady,
        route: Route,
        series: SeriesContent | None,
        reasons: tuple[str, ...],
        reference: TaskReference | None,
        at: Instant,
    ) -> EligibilityDecision:
        # a revision that is said twice, by its series and as a whole, has two decisions
        parts = ("series",) if not ready.complete else ()
        return EligibilityDecision(
            event_id=ids.event_id("eligibility", ready.study_instance_uid, ready.revision, route.model, *parts),
            occurred_at=at.utc,
            study_instance_uid=ready.study_instance_uid,
            revision=ready.revision,
            model_name=route.model,
            eligible=series is not None,
            reasons=reasons,
            rule_revision=self.rules.revision,
            series_instance_uid=None if series is None else series.series_instance_uid,
            task_id=None if reference is None else reference.task_id,
        )

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


def _same(started: TaskReference | None, series: SeriesContent) -> TaskReference | None:
    """The task that sees exactly these images already."""
    return started if started is not None and started.content == content_id(series) else None


def _in_place_of(task: InferenceTask, gone: tuple[TaskReference, ...]) -> InferenceTask:
    """The task with the deadline of what it takes the place of: it waits no longer than that would have."""
    deadlines = [one.deadline for one in gone if one.model_name == task.model_name and one.deadline is not None]
    return replace(task, deadline=min([task.deadline, *deadlines]))


def _reference(task: InferenceTask, series: SeriesContent) -> TaskReference:
    return TaskReference(
        task.task_id, task.model_name, task.priority, task.created_at, content_id(series), task.deadline
    )


def facts_of(ready: StudyReady) -> Facts:
    """What the images tell the rules."""
    return Facts(
        modality=frozenset(series.modality for series in ready.series if series.modality),
        body_part=frozenset(series.body_part_examined for series in ready.series if series.body_part_examined),
        study_description=ready.study_description,
        calling_ae_title=ready.calling_ae_title,
        called_ae_title=ready.called_ae_title,
        requested_procedure_priority=ready.requested_procedure_priority,
        age_years=ready.patient_age_years,
    )


def queued(task: InferenceTask, now: datetime) -> TaskStatus:
    """Status of a task that has been put on its priority topic."""
    return TaskStatus(
        event_id=ids.event_id("task-status", task.task_id, task.attempt, TaskState.QUEUED.value),
        occurred_at=now,
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
