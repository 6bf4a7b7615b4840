"""Studies that a model did not see for want of what orders and admissions tell, and that are told later."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import EligibilityDecision, ReadyReason
from streams.matching import Range
from streams.rules import Route, Rules
from tests.streams.department import RULES, STUDY, Department, images, readies, tasks
from tests.streams.samples import instance

(FREE,) = RULES.routes
ADULTS = Range(minimum=18, accept_missing=False)


def rules(*routes: Route) -> Rules:
    return RULES.model_copy(update={"routes": routes})


def other(**asked: Any) -> Route:
    return FREE.model_copy(update={"model": "other", **asked})


@pytest.mark.parametrize(
    ("asked", "said"),
    [({"consent": "granted"}, {"consent": "granted"}), ({"age_years": ADULTS}, {"patient_age_years": 40.0})],
)
@pytest.mark.parametrize("restart", [False, True])
def test_what_is_told_later_makes_the_next_revision_for_the_model_that_lacked_it(
    asked: dict[str, Any], said: dict[str, Any], restart: bool
) -> None:
    department = Department(rules(FREE, other(**asked)))
    department.give(0, *images(12))
    (first,) = tasks(department.look(5.0))
    assert first.model_name == FREE.model
    if restart:
        department.restart(100.0)
        assert department.look(100.0) == []
    department.order("admission", **said)
    events = department.look(3600.0) + department.look(3600.1)
    (ready,), (task,) = readies(events), tasks(events)
    assert (ready.revision, ready.reason) == (2, ReadyReason.OPERATOR)
    assert (task.model_name, task.revision) == ("other", 2)
    verdicts = {event.model_name: event for event in events if isinstance(event, EligibilityDecision)}
    # the one that ran has seen these images already
    assert verdicts[FREE.model].task_id == first.task_id
    assert verdicts["other"].eligible
    assert {one.task_id for one in department.state().tasks} == {first.task_id, task.task_id}
    department.order("admission", **said, patient_location="ICU")
    assert readies(department.look(3700.0) + department.look(3700.1)) == []


def test_a_study_for_which_nothing_ran_is_looked_at_again() -> None:
    department = Department(rules(FREE.model_copy(update={"consent": "granted"})))
    department.give(0, *images(12))
    assert tasks(department.look(5.0)) == []
    department.order(accession_number="A1", order_priority="R")
    assert department.look(6.0) + department.look(6.1) == []
    department.order("admission", consent="granted")
    (task,) = tasks(department.look(7.0) + department.look(7.1))
    assert task.revision == 2


def test_what_is_told_that_does_not_help_makes_nothing() -> None:
    department = Department(rules(other(age_years=ADULTS, consent="granted")))
    department.give(0, *images(12))
    department.look(5.0)
    for said in (
        {"patient_age_years": 7.0},
        {"patient_age_years": 7.0, "consent": "granted"},
        {"consent": "refused"},
    ):
        department.order("admission", **said)
        assert department.look(6.0) + department.look(6.1) == []
    department.order("admission", patient_age_years=18.0, consent="granted")
    assert len(tasks(department.look(7.0) + department.look(7.1))) == 1


def test_a_model_that_the_rules_have_newly_does_not_go_through_the_studies_that_lack_something() -> None:
    department = Department(rules(FREE, other(consent="granted")))
    department.order("admission", patient_location="ICU")
    department.give(0, *images(12))
    department.look(5.0)
    assert department.state().lacks_context
    department.rules = rules(*department.rules.routes, FREE.model_copy(update={"model": "third"}))
    department.restart(100.0)
    assert department.look(100.0) + department.look(100.1) == []
    # with the revision that is made for another reason it has its turn
    department.order("admission", consent="granted")
    made = tasks(department.look(101.0) + department.look(101.1))
    assert {task.model_name for task in made} == {"other", "third"}


def test_a_study_that_no_model_would_see_anyway_is_left_alone() -> None:
    department = Department(rules(other(consent="granted")))
    department.give(0, *images(12, modality="CT"))
    department.look(5.0)
    assert not department.state().lacks_context
    department.order("admission", consent="granted")
    assert department.look(6.0) + department.look(6.1) == []


def test_images_with_other_content_are_seen_again_by_the_model_that_ran() -> None:
    department = Department(rules(FREE, other(consent="granted")))
    department.give(0, *images(12))
    department.look(5.0)
    # while the study is open again for another reason
    department.give(100.0, instance(STUDY, 1, series=2, modality="CT"))
    department.give(101.0, *images(1, replaces=True))
    made = tasks(department.look(106.0))
    assert [(task.model_name, task.revision) for task in made] == [(FREE.model, 2)]


@given(st.permutations(["order", "admission", "image", "restart"]))
def test_in_whatever_order_things_come_the_model_runs_once_when_all_is_there(order: list[str]) -> None:
    department, seconds, made = Department(rules(other(consent="granted"))), 0.0, 0
    for what in order:
        seconds += 10.0
        match what:
            case "order":
                department.order(accession_number="A1", order_priority="R")
            case "admission":
                department.order("admission", consent="granted")
            case "image":
                department.give(seconds, *images(12))
            case "restart":
                department.restart(seconds)
        made += len(
            tasks(department.look(seconds) + department.look(seconds + 6.0) + department.look(seconds + 6.1))
        )
    assert made == 1
