"""A result beside the one before."""

from __future__ import annotations

import dataclasses
import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Code, Finding, InferenceResult, InferenceTask, Measurement, PriorResult, ResultOutcome
from schemas.topics import Topic
from streams.worker.priors import CHANGE, CHANGE_PERCENT, VOLUME, Priors, compared, following_prior, with_change
from tests.streams.worker.tasks import START, task
from tests.streams.worker.toy import result_of

PATIENT = "5d41402abc4b2a76b9719d911017c592"


def study(day: int, uid: str | None = None, **changes: object) -> InferenceTask:
    given: dict[str, Any] = {"created_at": START + timedelta(days=day), "patient_key": PATIENT, **changes}
    return task(uid, **given)


def result(of: InferenceTask, volume: float | None = 100.0) -> InferenceResult:
    asked = dataclasses.replace(of, indication=None if volume is None else f"volume={volume}")
    return next(event for _, _, event in result_of(asked, "node").events if isinstance(event, InferenceResult))


def prior(of: InferenceTask, volume: float | None, newest: PriorResult | None = None) -> PriorResult:
    made = following_prior(result(of, volume), of, newest)
    assert made is not None
    return made


def changes(of: InferenceResult) -> dict[Code, float]:
    return {m.code: m.value for finding in of.findings for m in finding.measurements if m.code != VOLUME}


def test_growth_is_told_absolutely_and_in_percent() -> None:
    first, second = study(1), study(2)
    found = compared(result(second, 130.0), second, prior(first, 104.0))
    assert changes(found) == {CHANGE: 26.0, CHANGE_PERCENT: 25.0}
    assert found.prior is not None
    assert found.prior.study_instance_uid == first.study_instance_uid
    assert found.patient_key == PATIENT


@pytest.mark.parametrize(
    ("before", "expected"),
    [(None, {}), (0.0, {CHANGE: 130.0}), (math.nan, {}), (-math.inf, {}), (5e-324, {CHANGE: 130.0})],
    ids=["nothing", "an empty volume", "no number", "no end", "next to nothing"],
)
def test_what_was_nothing_or_no_number_has_no_percentage(
    before: float | None, expected: dict[Code, float]
) -> None:
    found = compared(result(study(2), 130.0), study(2), prior(study(1), before))
    assert changes(found) == expected


def test_another_thing_another_unit_and_another_quantity_are_not_compared() -> None:
    second = study(2)
    newest = prior(study(1), 104.0)
    (value,) = newest.values
    litres = dataclasses.replace(value.measurement, unit=Code("L", "UCUM", "liter"))
    for other in (
        dataclasses.replace(value, tracking_id="lesion-2"),
        dataclasses.replace(value, measurement=litres),
    ):
        found = compared(result(second), second, dataclasses.replace(newest, values=(other,)))
        assert changes(found) == {}
        assert found.prior is None
    density = Measurement(Code("112031", "DCM", "Attenuation Coefficient"), 60.0, Code("[hnsf'U]", "UCUM", "HU"))
    plain = result(second)
    finding: Finding = dataclasses.replace(plain.findings[0], measurements=(density,))
    assert changes(compared(dataclasses.replace(plain, findings=(finding,)), second, newest)) == {
        density.code: 60.0
    }


def test_a_further_revision_of_a_study_is_compared_with_the_study_before_and_never_with_itself() -> None:
    first, second = study(1), study(2)
    newest = prior(first, 100.0)
    newest = prior(second, 150.0, newest)
    again = dataclasses.replace(second, revision=2, created_at=second.created_at + timedelta(minutes=5))
    found = compared(result(again, 160.0), again, newest)
    assert changes(found)[CHANGE] == 60.0
    assert found.prior is not None
    assert found.prior.study_instance_uid == first.study_instance_uid
    alone = compared(result(again, 160.0), again, prior(second, 150.0))
    assert changes(alone) == {}


def test_a_study_is_not_compared_with_a_later_one_and_does_not_take_its_place() -> None:
    first, second = study(1), study(2)
    newest = prior(second, 150.0, prior(first, 100.0))
    for late in (dataclasses.replace(first, created_at=START + timedelta(days=9)), study(1)):
        assert changes(compared(result(late, 90.0), late, newest)) == {}
        assert following_prior(result(late, 90.0), late, newest) is None


def test_an_old_exam_that_is_imported_late_is_compared_with_what_was_made_before_it() -> None:
    oldest = study(1, study_date_time="20180105")
    newest = prior(oldest, 80.0)
    latest = study(2, study_date_time="20260301101500")
    newest = prior(latest, 150.0, newest)
    imported = study(3, study_date_time="20220707")
    found = compared(result(imported, 100.0), imported, newest)
    assert found.prior is not None
    assert (found.prior.study_instance_uid, found.prior.study_date_time) == (oldest.study_instance_uid, "20180105")
    assert changes(found)[CHANGE] == 20.0
    # it takes the place of what the latest one is compared with, should that have another revision
    newest = prior(imported, 100.0, newest)
    assert (newest.study_instance_uid, newest.values[0].measurement.value) == (latest.study_instance_uid, 150.0)
    again = dataclasses.replace(latest, revision=2, created_at=START + timedelta(days=4))
    assert changes(compared(result(again, 160.0), again, newest))[CHANGE] == 60.0
    # and one that is older than all of them is compared with nothing
    first = study(5, study_date_time="20100101")
    assert compared(result(first), first, newest).prior is None
    assert following_prior(result(first), first, newest) is None
    following = study(6, study_date_time="20260301")
    assert compared(result(following, 151.0), following, newest).prior is not None


def test_of_an_imported_exam_the_newest_revision_stays_the_one_before() -> None:
    latest = study(2, study_date_time="20260301")
    imported = study(3, study_date_time="20220707")
    whole = dataclasses.replace(imported, revision=2, created_at=imported.created_at + timedelta(minutes=1))
    newest = prior(whole, 100.0, prior(latest, 150.0))
    # its first answer, which was long under way
    assert following_prior(result(imported, 60.0), imported, newest) is None
    again = dataclasses.replace(whole, revision=3, created_at=whole.created_at + timedelta(minutes=1))
    assert prior(again, 110.0, newest).previous_values[0].measurement.value == 110.0


def test_a_new_exam_is_compared_with_an_old_one_that_was_computed_after_it_was_asked_for() -> None:
    imported = study(3, study_date_time="20220707")
    latest = study(2, study_date_time="20260301101500")
    found = compared(result(latest, 150.0), latest, prior(imported, 100.0))
    assert changes(found)[CHANGE] == 50.0
    assert prior(latest, 150.0, prior(imported, 100.0)).study_instance_uid == latest.study_instance_uid


@given(st.permutations(range(6)), st.lists(st.sampled_from(["2018", "2019", "2020"]), min_size=6, max_size=6))
def test_in_whatever_order_exams_come_a_prior_is_always_an_earlier_one(order: list[int], years: list[str]) -> None:
    exams = [study(n, f"2.25.{n}", study_date_time=f"{year}0101") for n, year in enumerate(years)]
    dates = {exam.study_instance_uid: exam.study_date_time or "" for exam in exams}
    newest: PriorResult | None = None
    for number in order:
        exam = dataclasses.replace(exams[number], created_at=START + timedelta(days=order.index(number)))
        found = compared(result(exam), exam, newest)
        if found.prior is not None:
            assert found.prior.study_instance_uid != exam.study_instance_uid
            assert dates[found.prior.study_instance_uid] <= dates[exam.study_instance_uid]
        newest = following_prior(result(exam), exam, newest) or newest
        assert newest is not None
        seen = [dates[exams[one].study_instance_uid] for one in order[: order.index(number) + 1]]
        assert dates[newest.study_instance_uid] == max(seen)


def test_a_model_that_could_not_run_leaves_the_prior_as_it_was() -> None:
    failed = dataclasses.replace(result(study(2)), outcome=ResultOutcome.COULD_NOT_RUN, findings=())
    assert following_prior(failed, study(2), prior(study(1), 100.0)) is None


def test_it_travels_with_the_answer_under_patient_and_model() -> None:
    of = study(2)
    answer = with_change(result_of(of, "node"), of, None)
    ((key, event),) = ((key, event) for topic, key, event in answer.events if topic is Topic.PRIORS)
    assert key == f"{PATIENT}/{of.model_name}"
    priors = Priors()
    priors.hear(key, event)
    assert priors.of(of) == event
    priors.hear(key, None)
    assert priors.of(of) is None


def test_without_a_patient_nothing_is_compared_or_kept() -> None:
    of = dataclasses.replace(study(2), patient_key=None)
    answer = result_of(of, "node")
    assert with_change(answer, of, prior(study(1), 100.0)) is answer
