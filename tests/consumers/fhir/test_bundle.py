"""Results become one deterministic transaction that says what the model said, and no more."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from pydicom import Dataset

from consumers.fhir.bundle import transaction
from consumers.fhir.outcomes import personal_values
from schemas.errors import InvalidMessage
from schemas.events import InferenceResult, Measurement, ResultOutcome
from tests.consumers import results
from tests.consumers.fhir.strategies import cases
from tests.consumers.fhir.validators import structure_errors

SYSTEM = "urn:example:mrn"


def bundle_of(result: InferenceResult, header: Dataset | None = None) -> dict[str, Any]:
    return transaction(result, header or results.headers()[0], SYSTEM)


def of_type(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]


@settings(max_examples=60, deadline=None)
@given(cases())
def test_generated_bundles_have_r4_structure(case: tuple[InferenceResult, Dataset]) -> None:
    result, header = case
    bundle = transaction(result, header, SYSTEM)
    assert structure_errors(bundle) == []
    assert len(of_type(bundle, "Observation")) == max(1, len(result.findings))
    assert json.dumps(bundle) == json.dumps(transaction(result, header, SYSTEM))


@settings(max_examples=60, deadline=None)
@given(cases())
def test_every_reference_and_criterion_is_resolvable(case: tuple[InferenceResult, Dataset]) -> None:
    result, header = case
    bundle = transaction(result, header, SYSTEM)
    names = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(set(names)) == len(names)
    (report,) = of_type(bundle, "DiagnosticReport")
    links = [*report["result"], *report["imagingStudy"]]
    for observation in of_type(bundle, "Observation"):
        links += [observation["device"], *observation["derivedFrom"]]
    assert {link["reference"] for link in links} == set(names[:-1])
    identifiers = {item["value"] for entry in bundle["entry"] for item in entry["resource"]["identifier"]}
    assert not identifiers & set(names)


def test_everything_that_the_model_said_is_preliminary_and_labelled() -> None:
    bundle = bundle_of(results.result_with_findings())
    for resource in [*of_type(bundle, "Observation"), *of_type(bundle, "DiagnosticReport")]:
        assert resource["status"] == "preliminary"
        assert resource["meta"]["security"][0]["code"] == "AIAST"


def test_a_finding_keeps_its_codes_units_and_provenance() -> None:
    result = results.result_with_findings()
    bundle = bundle_of(result)
    (observation,) = of_type(bundle, "Observation")
    assert observation["code"]["coding"][0] == {
        "system": "http://snomed.info/sct",
        "code": "12738006",
        "display": "Brain",
    }
    volume, certainty = observation["component"]
    assert volume["valueQuantity"] == {
        "value": 1234.5,
        "unit": "mL",
        "system": "http://unitsofmeasure.org",
        "code": "mL",
    }
    assert certainty["valueQuantity"]["value"] == pytest.approx(87)
    assert observation["identifier"][1]["value"] == f"urn:oid:{result.findings[0].tracking_uid}"
    assert {"text": "Limitations: Research use only"} in observation["note"]
    (device,) = of_type(bundle, "Device")
    assert device["identifier"] == [{"system": "urn:dicom:uid", "value": f"urn:oid:{result.model.device_uid}"}]
    assert "1234.5 mL" in of_type(bundle, "DiagnosticReport")[0]["conclusion"]


def test_a_finding_that_is_a_quantity_has_it_as_its_value() -> None:
    result = results.result_with_findings()
    volume = replace(result.findings[0], code=results.VOLUME)
    (observation,) = of_type(bundle_of(replace(result, findings=(volume,))), "Observation")
    assert observation["valueQuantity"]["value"] == 1234.5
    assert "valueCodeableConcept" not in observation
    twice = replace(volume, measurements=volume.measurements * 2)
    with pytest.raises(InvalidMessage, match="twice"):
        bundle_of(replace(result, findings=(twice,)))


def test_no_findings_is_a_report_that_says_so() -> None:
    bundle = bundle_of(results.result_without_findings())
    (observation,) = of_type(bundle, "Observation")
    assert observation["valueCodeableConcept"]["coding"][0]["code"] == "260385009"
    assert "found nothing" in of_type(bundle, "DiagnosticReport")[0]["conclusion"]


def test_the_patient_is_a_logical_reference_and_never_a_resource() -> None:
    header = results.headers()[0]
    bundle = bundle_of(results.result_with_findings(), header)
    subject = of_type(bundle, "DiagnosticReport")[0]["subject"]
    assert subject["identifier"]["value"] == str(header.PatientID)
    assert subject["identifier"]["system"] == SYSTEM
    assert "reference" not in subject
    assert "display" not in subject
    assert of_type(bundle, "Patient") == []
    assert str(header.PatientName) not in json.dumps(bundle, ensure_ascii=False)


def test_a_universal_issuer_names_the_patient_id() -> None:
    header = Dataset()
    header.PatientID = "7"
    item = Dataset()
    item.UniversalEntityID, item.UniversalEntityIDType = "1.2.3", "ISO"
    header.IssuerOfPatientIDQualifiersSequence = [item]
    subject = of_type(bundle_of(results.result_with_findings(), header), "ImagingStudy")[0]["subject"]
    assert subject["identifier"]["system"] == "urn:oid:1.2.3"


def test_local_time_without_a_zone_is_only_a_date() -> None:
    header = Dataset()
    header.StudyDate, header.StudyTime = "20261122", "093000"
    result = results.result_with_findings()
    assert of_type(bundle_of(result, header), "ImagingStudy")[0]["started"] == "2026-11-22"
    header.TimezoneOffsetFromUTC = "+0200"
    assert of_type(bundle_of(result, header), "ImagingStudy")[0]["started"] == "2026-11-22T09:30:00+02:00"


def test_what_is_known_on_the_server_is_created_only_once_and_results_are_updated() -> None:
    requests = [entry["request"] for entry in bundle_of(results.result_with_findings())["entry"]]
    assert [request["method"] for request in requests] == ["POST", "POST", "PUT", "PUT"]
    assert all("identifier=" in request.get("ifNoneExist", request["url"]) for request in requests)


def test_another_task_has_other_observations_but_the_same_study_and_model() -> None:
    first = bundle_of(results.result_with_findings())
    second = bundle_of(replace(results.result_with_findings(), task_id="another"))
    same = [a["fullUrl"] == b["fullUrl"] for a, b in zip(first["entry"], second["entry"], strict=True)]
    assert same == [True, True, False, False]


def test_what_must_not_be_reported_is_refused() -> None:
    result = results.result_with_findings()
    with pytest.raises(InvalidMessage, match="could not run"):
        bundle_of(replace(result, outcome=ResultOutcome.COULD_NOT_RUN, findings=()))
    with pytest.raises(InvalidMessage, match="tracking UID"):
        bundle_of(replace(result, findings=result.findings * 2))
    with pytest.raises(InvalidMessage, match="another study"):
        bundle_of(replace(result, study_instance_uid="1.2.3"))
    nan = replace(
        result.findings[0], measurements=(Measurement(results.VOLUME, float("nan"), results.MILLILITRE),)
    )
    with pytest.raises(InvalidMessage, match="nan"):
        bundle_of(replace(result, findings=(nan,)))


def test_personal_values_are_known_by_name() -> None:
    header = results.headers()[0]
    bundle = bundle_of(results.result_with_findings(), header)
    found = personal_values(entry["resource"] for entry in bundle["entry"])
    assert {str(header.PatientID), str(header.AccessionNumber)} <= found
