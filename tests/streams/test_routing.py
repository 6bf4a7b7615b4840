from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from schemas import ids
from schemas.codec import Codec
from schemas.events import (
    AuditEvent,
    EligibilityDecision,
    InferenceTask,
    ReadyReason,
    SeriesContent,
    StudyReady,
    TaskState,
    TaskStatus,
)
from schemas.topics import Priority, Topic
from streams.decided import Decided
from streams.facts import NOTHING, Clinical
from streams.partition import Output
from streams.routing import Router
from streams.rules import Route, Rules
from tests.streams.samples import MR, SEG, START, at, rules_of_one_model

RULES = rules_of_one_model()
STUDY = "2.25.7"


def series(number: int, count: int, **more: object) -> SeriesContent:
    uid = f"{STUDY}.{number}"
    content = SeriesContent(uid, "MR", MR, "T1 AX", None, tuple(f"{uid}.{index:03}" for index in range(count)))
    return replace(content, **more)  # type: ignore[arg-type] # forwarded as is


def study(*content: SeriesContent, **more: object) -> StudyReady:
    ready = StudyReady(
        event_id=ids.event_id("study-ready", STUDY, 1),
        occurred_at=START,
        study_instance_uid=STUDY,
        revision=1,
        reason=ReadyReason.QUIET,
        gateway="gateway-1",
        retrieve_url=f"http://gw/dicom-web/studies/{STUDY}",
        series=content,
        instance_count=sum(len(item.sop_instance_uids) for item in content),
        first_instance_at=START,
        last_instance_at=START,
        study_description="BRAIN",
        accession_number="A1",
    )
    return replace(ready, **more)  # type: ignore[arg-type] # forwarded as is


def routed(
    ready: StudyReady,
    rules: Rules = RULES,
    seconds: float = 0,
    clinical: Clinical = NOTHING,
) -> tuple[Output, ...]:
    return Router(rules, "site-1", "node-1").route(ready, clinical, Decided(), at(seconds)).outputs


def tasks_for(ready: StudyReady, rules: Rules = RULES, seconds: float = 0) -> list[InferenceTask]:
    return [output.event for output in routed(ready, rules, seconds) if isinstance(output.event, InferenceTask)]


def chosen(*content: SeriesContent, **more: object) -> str | None:
    tasks = tasks_for(study(*content, **more))
    return tasks[0].series[0].series_instance_uid if tasks else None


def test_the_largest_series_is_chosen_and_of_equals_the_lowest_uid() -> None:
    assert chosen(series(1, 20), series(2, 30), series(3, 25)) == f"{STUDY}.2"
    assert chosen(series(3, 20), series(2, 20)) == f"{STUDY}.2"


def test_what_the_model_is_not_made_for_is_left_out() -> None:
    assert chosen(series(1, 200, modality="CT"), series(2, 12)) == f"{STUDY}.2"
    assert chosen(series(1, 200, series_description="3-plane LOCALIZER"), series(2, 12)) == f"{STUDY}.2"
    assert chosen(series(1, 200, series_description="Топограма"), series(2, 12)) == f"{STUDY}.2"
    assert chosen(series(1, 200, sop_class_uid=SEG), series(2, 12)) == f"{STUDY}.2"
    assert chosen(series(1, 200, body_part_examined="KNEE"), series(2, 12)) == f"{STUDY}.2"
    assert chosen(series(1, 9)) is None
    assert chosen(series(1, 20, modality=None)) is None
    assert chosen(series(1, 20), study_description="MR ABDOMEN") is None
    assert chosen(series(1, 20), study_description=None) == f"{STUDY}.1"


def test_a_task_says_everything_that_was_decided() -> None:
    ready = study(series(1, 20), requested_procedure_priority="STAT", revision=2)
    task, status, verdict = (output.event for output in routed(ready, seconds=10))
    assert isinstance(task, InferenceTask)
    assert isinstance(status, TaskStatus)
    assert task.task_id == ids.task_id(STUDY, 2, "mri-brain-segmentation")
    assert (task.priority, task.attempt, task.requested_by) == (Priority.P1_EMERGENCY, 1, "streams")
    assert task.priority_reason.startswith("p1-emergency by rule requested-stat")
    assert task.rule_revision == RULES.revision
    assert task.deadline - task.created_at == timedelta(seconds=60)
    assert (task.retrieve_url, task.accession_number) == (ready.retrieve_url, "A1")
    assert (status.state, status.task_id, status.progress) == (TaskState.QUEUED, task.task_id, 0)
    assert isinstance(verdict, EligibilityDecision)
    assert (verdict.eligible, verdict.task_id) == (True, task.task_id)
    topics = [(output.topic, output.key) for output in routed(ready, seconds=10)]
    assert topics == [(Topic.TASKS_P1, STUDY), (Topic.STATUS, task.task_id), (Topic.ELIGIBILITY, STUDY)]


def test_the_same_revision_always_makes_the_same_ids() -> None:
    ready = study(series(1, 20))
    one, other = (tasks_for(ready, RULES, seconds)[0] for seconds in (0, 500))
    assert (one.event_id, one.task_id) == (other.event_id, other.task_id)
    assert tasks_for(replace(ready, revision=2))[0].task_id != one.task_id


def test_every_model_that_is_routed_gets_a_task() -> None:
    second = Route(model="second-model", modality=("MR", "CT"))
    rules = RULES.model_copy(update={"routes": (*RULES.routes, second)})
    tasks = tasks_for(study(series(1, 20), series(2, 300, modality="CT")), rules)
    assert [(task.model_name, task.series[0].series_instance_uid) for task in tasks] == [
        ("mri-brain-segmentation", f"{STUDY}.1"),
        ("second-model", f"{STUDY}.2"),
    ]


def test_a_study_that_no_model_takes_is_never_passed_over_in_silence() -> None:
    verdict, output = routed(study(series(1, 50, modality="CT"), series(2, 1, modality="SR")))
    assert isinstance(verdict.event, EligibilityDecision)
    assert not verdict.event.eligible
    assert verdict.event.reasons == ("2 series: modality is not MR", "1 series: fewer than 10 images")
    assert (output.topic, output.key) == (Topic.AUDIT, "site-1")
    assert isinstance(output.event, AuditEvent)
    assert output.event.description == (
        f"no model is routed for this study (CT, SR, 2 series): no route of rules {RULES.revision} takes any of "
        "its series"
    )
    assert output.event.study_instance_uid == STUDY
    assert Codec().decode(Codec().encode(output.event)) == output.event
