"""Verdicts move a report from preliminary to final and beyond, and never back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from consumers.fhir.lifecycle import observation_status, report_status
from schemas.errors import InvalidMessage
from schemas.events import Decision
from schemas.ids import dicom_uid, event_id
from tests.consumers import results
from tests.consumers.fhir.bundles import delivered, judged, of_type, reviewed, taken
from tests.consumers.fhir.validators import structure_errors

CONFIRMED, AMENDED, REJECTED = Decision.CONFIRMED, Decision.AMENDED, Decision.REJECTED


def two_findings() -> Any:
    base = results.result_with_findings()
    second = replace(
        base.findings[0], finding_id=event_id("finding", "2"), tracking_uid=dicom_uid("tracking", "second")
    )
    return replace(base, findings=(base.findings[0], second))


@pytest.mark.parametrize(
    ("decision", "known", "status"),
    [
        (None, None, "preliminary"),
        (None, "preliminary", "preliminary"),
        (None, "final", "final"),
        (CONFIRMED, None, "final"),
        (CONFIRMED, "preliminary", "final"),
        (CONFIRMED, "final", "final"),
        (CONFIRMED, "amended", "amended"),
        (CONFIRMED, "entered-in-error", "amended"),
        (CONFIRMED, "cancelled", "final"),
        (AMENDED, None, "final"),
        (AMENDED, "preliminary", "final"),
        (AMENDED, "final", "amended"),
        (AMENDED, "corrected", "amended"),
        (REJECTED, None, "entered-in-error"),
        (REJECTED, "final", "entered-in-error"),
    ],
)
def test_status_of_an_observation(decision: Decision | None, known: str | None, status: str) -> None:
    assert observation_status(decision, known) == status


@pytest.mark.parametrize(
    ("decisions", "known", "changed", "status"),
    [
        ((None, None), None, False, "preliminary"),
        ((CONFIRMED, None), "preliminary", False, "preliminary"),
        ((CONFIRMED, None), "final", False, "final"),
        ((CONFIRMED, REJECTED), "preliminary", True, "final"),
        ((CONFIRMED, CONFIRMED), "final", False, "final"),
        ((CONFIRMED, AMENDED), "final", True, "amended"),
        ((CONFIRMED, AMENDED), "amended", False, "amended"),
        ((CONFIRMED, CONFIRMED), "cancelled", False, "final"),
    ],
)
def test_status_of_a_report(
    decisions: tuple[Decision | None, ...], known: str | None, changed: bool, status: str
) -> None:
    result = two_findings()
    found = tuple(
        replace(one, decision=decision) for one, decision in zip(result.findings, decisions, strict=True)
    )
    assert report_status(replace(result, findings=found), known, changed=changed) == status


def test_a_verdict_changes_the_report_and_one_observation_and_names_its_radiologist() -> None:
    result = two_findings()
    known = taken(delivered(result))
    given = judged(result, CONFIRMED)
    bundle = reviewed(given, known)
    assert structure_errors(bundle) == []
    methods = {e["resource"]["resourceType"]: e["request"]["method"] for e in bundle["entry"]}
    assert methods == {"Device": "POST", "Observation": "PUT", "DiagnosticReport": "PUT", "Provenance": "POST"}
    (observation,), (report,) = of_type(bundle, "Observation"), of_type(bundle, "DiagnosticReport")
    assert (observation["status"], report["status"]) == ("final", "preliminary")
    assert observation["issued"] == report["issued"] == "2026-03-01T13:30:15.250Z"
    assert "1 of 2" in report["conclusion"]
    assert len(report["result"]) == 2
    assert [entry["request"]["ifMatch"] for entry in bundle["entry"] if entry["request"]["method"] == "PUT"] == [
        'W/"1"'
    ] * 2
    (provenance,) = of_type(bundle, "Provenance")
    who = provenance["agent"][0]["who"]
    assert who == {
        "type": "Practitioner",
        "identifier": {"system": "urn:scanstream:account", "value": given.reviewer},
    }
    assert report["resultsInterpreter"] == [who]
    assert provenance["reason"] == [{"text": given.comment}]
    assert report["subject"] == known.report.resource["subject"]  # type: ignore[union-attr]  # taken() has one


def test_what_was_rejected_is_withdrawn_and_no_result_of_the_report() -> None:
    result = results.result_with_findings()
    bundle = reviewed(judged(result, REJECTED), taken(delivered(result)))
    (observation,), (report,) = of_type(bundle, "Observation"), of_type(bundle, "DiagnosticReport")
    assert (observation["status"], report["status"]) == ("entered-in-error", "final")
    assert "result" not in report
    assert "rejected by a radiologist" in report["conclusion"]


@pytest.mark.parametrize("decision", list(Decision))
def test_a_verdict_on_a_negative_answer(decision: Decision) -> None:
    result = results.result_without_findings()
    bundle = reviewed(judged(result, decision), taken(delivered(result)))
    (observation,), (report,) = of_type(bundle, "Observation"), of_type(bundle, "DiagnosticReport")
    assert observation["status"] == ("entered-in-error" if decision is REJECTED else "final")
    assert report["status"] == "final"
    assert ("disagreed" in report["conclusion"]) == (decision is REJECTED)


def test_amended_values_are_final_at_first_and_amended_afterwards() -> None:
    result = results.result_with_findings()
    first = judged(result, AMENDED, probability=0.5)
    known = taken(delivered(first.result or result))
    assert known.report is not None
    assert known.report.status == "final"
    again = judged(result, AMENDED, probability=0.25)
    (report,) = of_type(reviewed(again, known), "DiagnosticReport")
    assert report["status"] == "amended"
    (observation,) = of_type(reviewed(again, known), "Observation")
    assert observation["status"] == "amended"
    assert observation["component"][1]["valueQuantity"]["value"] == 25


def test_a_verdict_on_what_is_not_there_is_refused() -> None:
    result = results.result_with_findings()
    wrong = replace(judged(result, CONFIRMED), finding_id="another")
    with pytest.raises(InvalidMessage, match="does not have"):
        reviewed(wrong, taken(delivered(result)))
