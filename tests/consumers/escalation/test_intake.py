"""Which event opens or ends which alarm, in any order of reading."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from consumers.escalation import alarm
from consumers.escalation.book import REMEMBERED, Book
from consumers.escalation.intake import Intake
from schemas.events import (
    Category,
    Code,
    Decision,
    EscalationStage,
    EscalationStep,
    Event,
    InferenceResult,
    Laterality,
    ResultOutcome,
)
from tests.consumers.escalation.findings import NOON, also, answer, critical, three_contacts, verdict
from tests.consumers.generated import generated
from tests.consumers.results import result_with_findings

ROUTES = three_contacts()
PNEUMOTHORAX = Code("36118008", "SCT", "Pneumothorax")
STAGES = EscalationStage


class Desk:
    """An intake with its book; every step is noted at once."""

    def __init__(self, *, rehearsal: bool = False) -> None:
        self.book = Book()
        self.intake = Intake(ROUTES, rehearsal=rehearsal)
        self.now = NOON

    def take(self, *events: Event) -> list[EscalationStep]:
        steps = []
        for event in events:
            for step in self.intake.steps(event, self.book, self.now):
                self.book.note(0, step)
                steps.append(step)
        return steps

    def stages(self, *events: Event) -> list[EscalationStage]:
        return [step.stage for step in self.take(*events)]


def result(name: str = "s", **of_finding: object) -> InferenceResult:
    return critical(name, at=NOON, **of_finding)


def test_a_critical_finding_opens_an_alarm_and_others_do_not() -> None:
    desk = Desk()
    assert desk.stages(result()) == [STAGES.OPENED]
    for category in (Category.URGENT, Category.ROUTINE, Category.INCIDENTAL):
        assert desk.take(result(category.value, category=category)) == []
    assert desk.take(result_with_findings()) == []
    assert desk.take(replace(result("none"), outcome=ResultOutcome.NO_FINDINGS, findings=())) == []


def test_an_urgent_finding_is_told_where_a_route_names_it() -> None:
    (step,) = Desk().take(result(code=PNEUMOTHORAX, category=Category.URGENT))
    assert (step.route, step.category) == ("readers", Category.URGENT)


def test_the_same_result_the_same_finding_in_another_run_and_a_later_revision_open_nothing_more() -> None:
    desk = Desk()
    again = critical("s", at=NOON, run="again")
    later = critical("s", at=NOON, revision=2)
    assert desk.stages(result(), result(), again, later) == [STAGES.OPENED]


def test_many_findings_of_one_kind_are_one_alarm_about_the_most_probable() -> None:
    first = result(probability=0.6)
    more = also(first, *(replace(first.findings[0], finding_id=f"f{n}", probability=n / 500) for n in range(500)))
    (step,) = Desk().take(more)
    assert step.probability == pytest.approx(499 / 500)


def test_another_side_is_another_alarm() -> None:
    first = result()
    both = also(first, replace(first.findings[0], finding_id="right", laterality=Laterality.RIGHT))
    assert Desk().stages(both) == [STAGES.OPENED, STAGES.OPENED]


def test_a_later_revision_alarms_anew_only_where_everybody_was_told_in_vain() -> None:
    desk = Desk()
    (step,) = desk.take(result())
    over = replace(step, stage=STAGES.EXHAUSTED, pending=(), due_at=None)
    desk.book.note(0, over)
    assert desk.take(result(), critical("s", at=NOON, run="again")) == []
    (anew,) = desk.take(critical("s", at=NOON, revision=2))
    assert (anew.stage, anew.revision, anew.escalation_id) == (STAGES.OPENED, 2, step.escalation_id)
    assert alarm.notice_id(anew, anew.pending[0]) != alarm.notice_id(step, step.pending[0])


def test_a_later_revision_without_the_finding_silences_nothing() -> None:
    desk = Desk()
    desk.take(result())
    gone = replace(critical("s", at=NOON, revision=2), outcome=ResultOutcome.NO_FINDINGS, findings=())
    assert desk.take(gone) == []
    assert desk.book.open == 1


def test_a_result_that_is_read_days_late_wakes_nobody_and_is_noted() -> None:
    desk = Desk()
    desk.now = NOON + timedelta(hours=73)
    (step,) = desk.take(result())
    assert step.stage is STAGES.WITHDRAWN
    assert step.reason == "the result was read only 3.0 days after it was made"
    assert desk.book.open == 0


def test_an_answer_ends_its_alarm_and_no_other() -> None:
    desk = Desk()
    (first,), (second,) = desk.take(result("a")), desk.take(result("b"))
    assert desk.stages(answer(first)) == [STAGES.ACKNOWLEDGED]
    assert desk.take(answer(first, "another")) == []
    assert desk.take(replace(answer(second), study_instance_uid="1.2.3")) == []
    assert desk.take(replace(answer(second), escalation_id="unknown")) == []
    assert desk.book.open == 1


def test_a_rejecting_verdict_withdraws() -> None:
    desk = Desk()
    desk.take(result())
    (step,) = desk.take(verdict(result(), Decision.REJECTED))
    assert (step.stage, step.actor, step.reason) == (STAGES.WITHDRAWN, "reader-1", "verdict: rejected")
    assert desk.take(result(), critical("s", at=NOON, revision=2)) == []


def test_a_rejecting_verdict_about_one_of_several_bleedings_withdraws_nothing() -> None:
    desk, first = Desk(), result()
    two = also(first, replace(first.findings[0], finding_id="other", probability=0.5))
    desk.take(two)
    assert desk.take(verdict(two, Decision.REJECTED)) == []
    one_left = verdict(two, Decision.REJECTED).result
    assert one_left is not None
    assert desk.stages(verdict(one_left, Decision.REJECTED, 1)) == [STAGES.WITHDRAWN]


def test_a_verdict_that_amends_the_finding_to_something_harmless_withdraws() -> None:
    desk = Desk()
    desk.take(result())
    assert desk.stages(verdict(result(), Decision.AMENDED, category=Category.INCIDENTAL)) == [STAGES.WITHDRAWN]


def test_a_confirming_verdict_ends_the_alarm_only_where_its_contacts_are_readers() -> None:
    desk = Desk()
    desk.take(result())
    assert desk.take(verdict(result(), Decision.CONFIRMED)) == []
    pneumothorax = result("p", code=PNEUMOTHORAX)
    desk.take(pneumothorax)
    assert desk.stages(verdict(pneumothorax, Decision.CONFIRMED)) == [STAGES.ACKNOWLEDGED]


def test_a_verdict_never_opens_an_alarm() -> None:
    routine = result(category=Category.ROUTINE)
    assert Desk().take(verdict(routine, Decision.AMENDED, category=Category.CRITICAL)) == []
    assert Desk().take(verdict(result(), Decision.CONFIRMED)) == []


def test_a_verdict_that_is_read_before_its_result_keeps_the_alarm_from_beginning() -> None:
    desk = Desk()
    assert desk.stages(verdict(result(), Decision.REJECTED), result()) == [STAGES.WITHDRAWN]
    pneumothorax = result("p", code=PNEUMOTHORAX)
    assert desk.stages(verdict(pneumothorax, Decision.CONFIRMED), pneumothorax) == [STAGES.ACKNOWLEDGED]
    assert desk.stages(verdict(result("c"), Decision.CONFIRMED), result("c")) == [STAGES.OPENED]


def test_a_verdict_without_a_result_goes_by_the_finding() -> None:
    desk = Desk()
    desk.take(result())
    bare = replace(verdict(result(), Decision.REJECTED), result=None)
    assert desk.take(replace(bare, finding_id="another")) == []
    assert desk.stages(bare) == [STAGES.WITHDRAWN]


def test_a_rehearsal_and_the_real_alarm_know_nothing_of_each_other() -> None:
    rehearsing, real = Desk(rehearsal=True), Desk()
    (step,) = rehearsing.take(result())
    assert step.rehearsal
    real.book.note(0, step)
    (opened,) = real.take(result())
    assert not opened.rehearsal
    assert real.stages(verdict(result(), Decision.REJECTED)) == [STAGES.WITHDRAWN, STAGES.WITHDRAWN]


def test_the_book_gives_each_due_alarm_once_and_forgets_what_no_replay_can_bring() -> None:
    desk = Desk()
    (step,) = desk.take(result())
    assert [one.escalation_id for one in desk.book.due(NOON)] == [step.escalation_id]
    assert desk.book.due(NOON + timedelta(days=1)) == []
    (done,) = desk.take(answer(step))
    assert desk.book.next_due() is None
    assert desk.book.outlived(done.occurred_at + REMEMBERED) == []
    assert desk.book.outlived(done.occurred_at + REMEMBERED + timedelta(seconds=1)) == [(0, step.escalation_id)]
    assert desk.book.find(step.escalation_id) is None
    assert desk.book.of_study(step.study_instance_uid) == []


@pytest.mark.parametrize("seed", range(50))
def test_every_generated_result_opens_one_alarm_for_each_kind_of_critical_finding(seed: int) -> None:
    made = generated(seed).result
    desk = Desk()
    desk.now = made.occurred_at
    steps = desk.take(made)
    kinds = {
        (one.code.value, one.code.scheme, one.site, one.laterality)
        for one in made.findings
        if one.category is Category.CRITICAL and one.decision is not Decision.REJECTED
    }
    assert len({step.escalation_id for step in steps}) == len(steps) >= len(kinds)
    assert desk.take(made) == []
