from __future__ import annotations

import dataclasses
from datetime import timedelta

import numpy as np
import pytest

from engines.pipeline import run
from engines.steps import drive
from schemas import ids
from schemas.codec import Codec
from schemas.errors import InvalidInput, TransientFailure
from schemas.events import (
    Artifact,
    InferenceResult,
    ResultOutcome,
    StageTime,
    TaskParameters,
    TaskState,
    TaskStatus,
)
from schemas.topics import spec_of
from streams.worker import answers
from tests.engines.phantom import model_of, series
from tests.streams.worker.tasks import START, task

TASK = task()
NOW = START + timedelta(seconds=3)
MODEL, _ = model_of((16, 16, 16))
MASK = Artifact("mask", "application/vnd.scanstream.mask", "http://gw/artifacts/aa", "aa", 9, (3, 4, 4))
STAGES = (StageTime("fetch", 1.0),)


def completed(value: int) -> answers.Answer:
    model, engine = model_of((16, 16, 16), lambda grid: grid * value)
    outcome = drive(run(series(np.full((3, 4, 4), 5)), model), engine.infer)
    return answers.completed(TASK, TASK.series[0], MODEL, outcome, (MASK,), STAGES, "node-1", NOW)


def check_contract(answer: answers.Answer) -> None:
    for topic, key, event in answer.events:
        assert type(event).__name__ in spec_of(topic).records
        assert key == {"task_id": TASK.task_id}.get(spec_of(topic).key, TASK.study_instance_uid)
        assert Codec().decode(Codec().encode(event)) == event


def test_a_finding_is_told_in_the_result() -> None:
    answer = completed(1)
    check_contract(answer)
    (_, _, result), (_, _, moved) = answer.events
    assert isinstance(result, InferenceResult)
    assert isinstance(moved, TaskStatus)
    (finding,) = result.findings
    assert (result.outcome, answer.outcome) == (ResultOutcome.FINDINGS, "findings")
    assert result.artifacts == (MASK,)
    assert result.model.device_uid.startswith("2.25.")
    assert "Research use only" in (result.limitations or "")
    assert (finding.code.value, finding.segment_number) == ("12738006", 1)
    assert finding.tracking_uid == ids.dicom_uid("tracking", TASK.task_id, "brain-volume", 1)
    assert (moved.state, moved.progress, moved.reason) == (TaskState.COMPLETED, 100, None)


def test_nothing_found_is_an_answer_too() -> None:
    answer = completed(0)
    check_contract(answer)
    assert [type(event).__name__ for _, _, event in answer.events] == ["InferenceResult", "TaskStatus"]
    assert answer.outcome == "no_findings"


def test_a_result_that_no_event_can_hold_is_told_as_one_that_could_not_run() -> None:
    outcome = drive(run(series(np.full((3, 4, 4), 5)), MODEL), model_of((16, 16, 16))[1].infer)
    many = tuple(f"one of very many warnings {number}" for number in range(300_000))
    outcome = dataclasses.replace(outcome, warnings=many)
    answer = answers.completed(TASK, TASK.series[0], MODEL, outcome, (), STAGES, "node-1", NOW)
    check_contract(answer)
    (_, _, result), (_, _, moved) = answer.events
    assert isinstance(result, InferenceResult)
    assert isinstance(moved, TaskStatus)
    assert (result.outcome, moved.state) == (ResultOutcome.COULD_NOT_RUN, TaskState.FAILED)
    assert "thresholds" in (result.reason or "")
    assert isinstance(answer.error, InvalidInput)


def test_the_same_task_is_answered_under_the_same_ids() -> None:
    one, other = completed(1), completed(1)
    assert [event.event_id for _, _, event in one.events] == [event.event_id for _, _, event in other.events]  # type: ignore[union-attr] # none of these is a changelog record
    assert len({event.event_id for _, _, event in one.events}) == 2  # type: ignore[union-attr] # as above


def test_invalid_input_is_told_with_its_reason_and_never_tried_again() -> None:
    answer = answers.could_not_run(TASK, MODEL.identity(), InvalidInput("in colour"), "node-1", NOW)
    check_contract(answer)
    (_, _, result), (_, _, moved) = answer.events
    assert isinstance(result, InferenceResult)
    assert isinstance(moved, TaskStatus)
    assert (result.outcome, result.reason) == (ResultOutcome.COULD_NOT_RUN, "in colour")
    assert result.series_instance_uid == TASK.series[0].series_instance_uid
    assert (moved.state, moved.reason) == (TaskState.FAILED, "in colour")
    assert answer.retry is None
    empty = dataclasses.replace(TASK, series=())
    assert (
        answers.could_not_run(empty, MODEL.identity(), InvalidInput("nothing"), "node-1", NOW).outcome
        == "could_not_run"
    )


@pytest.mark.parametrize(("attempt", "delay_s"), [(1, 5), (2, 15)])
def test_a_failure_that_may_pass_is_tried_again_later_and_elsewhere(attempt: int, delay_s: int) -> None:
    tried = dataclasses.replace(TASK, attempt=attempt, excluded_nodes=("node-0",))
    answer = answers.failed_for_now(tried, MODEL.identity(), TransientFailure("not there yet"), "node-1", NOW)
    check_contract(answer)
    assert answer.retry is not None
    assert answer.retry.attempt == attempt + 1
    assert answer.retry.not_before == NOW + timedelta(seconds=delay_s)
    assert answer.retry.excluded_nodes == ("node-0", "node-1")
    assert answer.retry.task_id == TASK.task_id
    ((_, _, moved),) = answer.events
    assert isinstance(moved, TaskStatus)
    assert (moved.state, moved.reason) == (TaskState.RETRY_WAIT, "not there yet")


def test_after_the_third_attempt_the_task_has_failed() -> None:
    tried = dataclasses.replace(TASK, attempt=3)
    answer = answers.failed_for_now(tried, MODEL.identity(), TransientFailure("still not there"), "node-1", NOW)
    assert answer.retry is None
    assert answer.outcome == "could_not_run"


def test_each_attempt_has_its_own_status_ids() -> None:
    again = dataclasses.replace(TASK, attempt=2)
    one, other = (answers.status(item, TaskState.INFERRING, "n", NOW) for item in (TASK, again))
    assert one.event_id != other.event_id
    assert one.event_id == answers.status(TASK, TaskState.INFERRING, "other", START).event_id


def test_the_kinds_of_objects_that_were_asked_for_are_in_the_result() -> None:
    asked = dataclasses.replace(TASK, parameters=TaskParameters(output_formats=("sr", "gsps")))
    model, engine = model_of((16, 16, 16))
    outcome = drive(run(series(np.full((3, 4, 4), 5)), model), engine.infer)
    answer = answers.completed(asked, TASK.series[0], MODEL, outcome, (MASK,), STAGES, "node-1", NOW)
    check_contract(answer)
    result = answer.events[0][2]
    assert isinstance(result, InferenceResult)
    assert result.output_formats == ("sr", "gsps")
