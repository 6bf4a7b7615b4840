"""Orders and admissions of a study: how they are found, which of them counts, and who hears of a change."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import ClinicalContext, ScheduledProcedureStep, WorklistItem
from streams.context import ContextTable, StudyKeys
from streams.facts import NOTHING, Clinical
from streams.patients import Patients
from streams.urgency import most_urgent
from tests.streams.samples import context

STUDY = StudyKeys("2.25.1", "A1", "patient")


def table(*said: ClinicalContext) -> ContextTable:
    found = ContextTable()
    found.keep_only(())
    for number, one in enumerate(said):
        found.apply(str(number).encode(), one)
    return found


def test_an_order_is_found_by_accession_number_by_study_and_by_the_study_of_its_worklist_item() -> None:
    step = ScheduledProcedureStep("1", "MR", "MR1", "20261122")
    item = WorklistItem(
        "Гнатюк^Олесь", "P1", STUDY.study_instance_uid, "RP1", (step,), requested_procedure_priority="HIGH"
    )
    for order in (
        context(accession_number="A1", order_priority="S"),
        context(study_instance_uid="2.25.1", accession_number="B2", order_priority="S"),
        context(accession_number="B2", worklist=item, order_priority="S"),
    ):
        assert table(order).join(STUDY).order_priority == "S"
    assert table(context(worklist=item)).join(STUDY).worklist_priority == "HIGH"
    assert table(context(accession_number="A2", order_priority="S")).join(STUDY) == NOTHING


def test_no_name_of_a_patient_is_kept() -> None:
    step = ScheduledProcedureStep("1", "MR", "MR1", "20261122")
    item = WorklistItem("Гнатюк^Олесь", "P-4711", "2.25.1", "RP1", (step,))
    found = table(context(worklist=item))
    assert "Гнатюк" not in str(vars(found))
    assert "P-4711" not in str(vars(found))


def test_an_admission_is_found_by_the_patient_and_an_order_speaks_before_it() -> None:
    found = table(
        context(patient_class="E", patient_location="ED", consent="granted", patient_age_years=70.0),
        context(accession_number="A1", patient_class="I"),
    )
    said = found.join(STUDY)
    assert (said.patient_class, said.patient_location, said.consent, said.patient_age_years) == (
        "I",
        "ED",
        "granted",
        70.0,
    )
    assert found.join(StudyKeys("2.25.2", None, "other")) == NOTHING
    assert found.join(StudyKeys("2.25.2", None, None)) == NOTHING


def test_the_keys_of_a_patient_before_a_merge_count_and_no_longer_when_it_is_taken_back() -> None:
    found = table(context("new", merged_keys=("old",)), context("old", patient_class="E"), context("older"))
    study = StudyKeys("2.25.2", None, "new")
    assert found.join(study).patient_class == "E"
    found.apply(b"2", context("old", merged_keys=("older",), patient_location="ED"))
    assert found.join(study).patient_location == "ED"
    assert found.join(study._replace(patient_key="older")).patient_class == "E"
    found.apply(b"0", context("new"))
    assert found.join(study) == Clinical()


def test_an_order_that_names_the_study_and_another_patient_is_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = table(context("another", study_instance_uid="2.25.1", order_status="cancelled"))
    for _ in range(2):
        assert found.join(STUDY._replace(accession_number=None)).order_status is None
    (record,) = caplog.records
    assert "SCANSTREAM_PATIENT_DEFAULT_ISSUER" in record.message
    assert "another" not in record.message.replace("another patient", "")


def test_what_is_another_patients_is_left_out_and_raises_the_urgency_where_it_names_the_study() -> None:
    found = table(
        context("another", accession_number="A1", order_priority="S", order_status="cancelled", consent="refused")
    )
    assert found.join(STUDY) == Clinical()
    assert found.join(STUDY._replace(patient_key=None)).order_status == "cancelled"
    named = {
        "study_instance_uid": "2.25.1",
        "order_priority": "S",
        "reason": "of another",
        "patient_age_years": 9.0,
    }
    found.apply(b"0", context("another", **named, order_status="held", patient_class="E", consent="refused"))
    # somebody took the wrong person from the worklist, or two systems name one person differently
    assert found.join(STUDY) == Clinical(order_priority="S")
    assert found.join(STUDY._replace(accession_number=None)) == Clinical(order_priority="S")
    found.apply(b"1", context("another", merged_keys=("patient",)))
    assert found.join(STUDY).order_status == "held"


def test_an_accession_number_of_two_hospitals_joins_each_order_with_its_own_study(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = table(
        context("one", accession_number="A1", accession_issuer="North", order_priority="S"),
        context(
            "two", accession_number="A1", accession_issuer="SOUTH", order_priority="R", order_status="cancelled"
        ),
    )
    north, south = (StudyKeys(f"2.25.{who}", "A1", None, who) for who in ("NORTH ", "south"))
    assert (found.join(north).order_priority, found.join(north).order_status) == ("S", None)
    assert found.join(south).order_status == "cancelled"
    assert found.join(StudyKeys("2.25.3", "A1", None, "east")) == NOTHING
    # of images that name no issuer the patient decides
    assert found.join(StudyKeys("2.25.3", "A1", "one")).order_priority == "S"
    assert found.join(StudyKeys("2.25.3", "A1", "two")).order_status == "cancelled"
    # and where they do not name the patient either, either may be meant
    assert found.join(StudyKeys("2.25.3", "A1", None)) == Clinical(order_priority="S")
    assert "SCANSTREAM_PATIENT_DEFAULT_ISSUER" in caplog.text
    assert "two" not in caplog.text


def test_an_order_that_names_no_issuer_is_found_by_number_and_patient() -> None:
    found = table(context(accession_number="A1", order_priority="S"))
    assert found.join(STUDY._replace(accession_issuer="NORTH")).order_priority == "S"
    # of one patient, but of two issuers
    found = table(context(accession_number="A1", accession_issuer="SOUTH", order_priority="S"))
    assert found.join(STUDY._replace(accession_issuer="NORTH")) == NOTHING


def test_a_study_without_accession_number_takes_the_only_active_order_of_its_patient() -> None:
    study = STUDY._replace(accession_number=None)
    found = table(
        context(accession_number="A7", order_priority="S"),
        context(accession_number="A8", order_priority="A", order_status="completed"),
    )
    assert found.join(study).order_priority == "S"
    found.apply(b"1", context(accession_number="A8", order_priority="A", order_status="active"))
    assert found.join(study).order_priority is None


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        (("cancelled",), "cancelled"),
        (("cancelled", "active"), "active"),
        (("held", "cancelled"), "held"),
        (("held", "active"), "active"),
        (("completed", "cancelled"), "completed"),
    ],
)
def test_of_several_orders_one_that_wants_a_result_is_enough(statuses: tuple[str, ...], status: str) -> None:
    assert (
        table(*(context(accession_number="A1", order_status=one) for one in statuses)).join(STUDY).order_status
        == status
    )


def test_the_most_urgent_order_counts_and_refusal_before_consent() -> None:
    found = table(
        *(context(accession_number="A1", order_priority=one) for one in ("R", "S", "A")),
        context(consent="granted"),
        context(accession_number="A1", consent="refused"),
    )
    assert (found.join(STUDY).order_priority, found.join(STUDY).consent) == ("S", "refused")
    assert most_urgent(["zz", "LOW", " stat ", None, ""]) == " stat "
    assert most_urgent([None, ""]) is None


@pytest.mark.parametrize("over", ["cancelled", "completed"])
def test_an_order_that_is_over_makes_nothing_urgent_while_another_wants_a_result(over: str) -> None:
    first = context(accession_number="A1", order_priority="S", patient_class="E", order_status=over, reason="old")
    second = context(accession_number="A1", order_priority="R", order_status="active")
    said = table(first, second).join(STUDY)
    assert (said.order_priority, said.patient_class, said.order_status) == ("R", None, "active")
    # alone it is all that is known
    assert table(first).join(STUDY).order_priority == "S"


def test_of_order_and_admission_counts_what_was_said_last_of_class_and_place() -> None:
    order = context(accession_number="A1", order_priority="R", patient_class="O", patient_location="CLINIC")
    admitted = context(patient_class="E", patient_location="ED")
    assert table(order, admitted).join(STUDY).patient_class == "E"
    assert table(order, admitted).join(STUDY).patient_location == "ED"
    moved = context(accession_number="A1", order_priority="R", patient_class="I")
    said = table(moved, admitted).join(STUDY)
    assert (said.patient_class, said.patient_location) == ("I", "ED")


@pytest.mark.parametrize(
    ("words", "first"),
    [
        (["ROUTINE", "CITO"], "CITO"),
        (["ПЛАНОВО", "Терміново"], "Терміново"),
        (["LOW", "STAT2"], "STAT2"),
        (["HIGH", "zz"], "HIGH"),
        (["R", "RX"], "R"),
        (["ROUTINE", "URGENT - CALL"], "URGENT - CALL"),
    ],
)
def test_words_that_systems_use_have_their_urgency(words: list[str], first: str) -> None:
    assert most_urgent(words) == first


def test_a_reader_hears_of_what_changed_and_only_once() -> None:
    found = table(context("new", accession_number="A1", study_instance_uid="2.25.1", merged_keys=("old",)))
    changes = found.changes()
    assert not changes
    found.apply(b"0", context("new", accession_number="A2"))
    touched = changes.take()
    assert (touched.accessions, touched.studies, touched.patients) == ({"A1", "A2"}, {"2.25.1"}, {"new", "old"})
    assert not changes
    said = context("new", accession_number="A2")
    found.apply(b"0", said)
    changes.take()
    found.apply(b"0", said)
    found.apply(b"unknown", None)
    assert not changes


def test_before_the_first_reading_nobody_hears_anything_and_then_of_everything(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = ContextTable(wait_until=30.0)
    changes = found.changes()
    found.apply(b"1", context(accession_number="A1"))
    assert not changes
    assert found.ready_at(10.0) == 30.0
    assert found.ready_at(31.0) == 30.0
    assert found.ready_at(32.0) == 30.0
    assert caplog.text.count("could not be read in time") == 1
    found.keep_only({b"1"})
    assert changes.take().everything
    assert found.ready_at(32.0) == float("-inf")
    # a second reading finds that a tombstone was missed
    found.keep_only(())
    assert changes.take().accessions == {"A1"}
    assert len(found) == 0


def test_of_too_many_the_oldest_go(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    found = ContextTable(most=3)
    for number in range(5):
        found.apply(str(number).encode(), context(accession_number=f"A{number}", order_priority="S"))
    assert [
        bool(found.join(STUDY._replace(accession_number=f"A{n}", patient_key=None)).order_priority)
        for n in range(5)
    ] == [
        False,
        False,
        True,
        True,
        True,
    ]
    assert caplog.text.count("SCANSTREAM_STREAMS_CONTEXT_MOST") == 1


few = st.sampled_from(["a", "b", "c", "d"])


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.one_of(st.none(), st.tuples(few, st.one_of(st.none(), few), st.lists(few, max_size=2))),
        ),
        max_size=30,
    ),
    few,
)
def test_the_indexes_find_what_a_look_at_every_entry_finds(
    said: list[tuple[int, tuple[str, str | None, list[str]] | None]], patient: str
) -> None:
    found, last = table(), dict[bytes, ClinicalContext]()
    for number, one in said:
        key = str(number).encode()
        last.pop(key, None)
        if one is None:
            found.apply(key, None)
            continue
        last[key] = context(
            one[0], accession_number=one[1], merged_keys=tuple(one[2]), order_priority=f"x{number}"
        )
        found.apply(key, last[key])
    patients = Patients()
    for entry in last.values():
        for merged in entry.merged_keys:
            patients.join(entry.patient_key, merged)
    for accession in ("a", "b"):
        orders = [
            entry.order_priority
            for entry in last.values()
            if entry.accession_number == accession and entry.patient_key in patients.group(patient)
        ]
        assert found.join(StudyKeys("2.25.9", accession, patient)).order_priority == most_urgent(orders)
    group = patients.group(patient)
    active = [entry for entry in last.values() if entry.accession_number and entry.patient_key in group]
    expected = active[0].order_priority if len(active) == 1 else None
    assert found.join(StudyKeys("2.25.9", None, patient)).order_priority == expected
