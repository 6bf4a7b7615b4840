"""Results become one deterministic transaction that says what the model said, and no more."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from pydicom import DataElement, Dataset
from pydicom.config import IGNORE
from pydicom.tag import Tag

from consumers.fhir.bundle import failure
from consumers.fhir.known import NOTHING
from consumers.fhir.links import study_time, without_header
from consumers.fhir.outcomes import personal_values
from schemas.errors import InvalidMessage
from schemas.events import (
    Characteristic,
    Code,
    InferenceResult,
    Laterality,
    Measurement,
    ModelIdentity,
    ResultOutcome,
)
from schemas.terminology import Language
from tests.consumers import results
from tests.consumers.fhir.bundles import BASE, SYSTEMS, delivered, of_type
from tests.consumers.fhir.strategies import cases
from tests.consumers.fhir.validators import structure_errors
from tests.consumers.generated import could_not_run, generated, nasty_case, nasty_texts

METHOD = Code("126030", "DCM", "Sum of segmented voxel method for volume")


def with_finding(**changes: Any) -> InferenceResult:
    result = results.result_with_findings()
    return replace(result, findings=(replace(result.findings[0], **changes),))


def components(result: InferenceResult) -> dict[str, dict[str, Any]]:
    (observation,) = of_type(delivered(result), "Observation")
    return {part["code"]["coding"][0]["code"]: part for part in observation["component"]}


@settings(max_examples=60, deadline=None)
@given(cases())
def test_bundles_of_any_result_have_r4_structure(case: tuple[InferenceResult, Dataset]) -> None:
    result, header = case
    bundle = delivered(result, header)
    assert structure_errors(bundle) == []
    assert len(of_type(bundle, "Observation")) == max(1, len(result.findings))
    assert json.dumps(bundle) == json.dumps(delivered(result, header))


@settings(max_examples=60, deadline=None)
@given(cases())
def test_every_reference_and_criterion_is_resolvable(case: tuple[InferenceResult, Dataset]) -> None:
    result, header = case
    bundle = delivered(result, header)
    names = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(set(names)) == len(names)
    text = json.dumps(bundle)
    named = {part.split('"')[0] for part in text.split('"reference": "')[1:]}
    # nothing refers to the Task and to Provenance
    unnamed = ("Task", "Provenance")
    apart = [one["fullUrl"] for one in bundle["entry"] if one["resource"]["resourceType"] in unnamed]
    assert named == set(names) - set(apart)
    identifiers = {item["value"] for entry in bundle["entry"] for item in entry["resource"].get("identifier", [])}
    assert not identifiers & set(names)


def test_everything_that_the_model_said_is_preliminary_and_labelled() -> None:
    bundle = delivered(results.result_with_findings())
    for resource in [*of_type(bundle, "Observation"), *of_type(bundle, "DiagnosticReport")]:
        assert resource["status"] == "preliminary"
        assert resource["meta"]["security"][0]["code"] == "AIAST"


def test_a_finding_keeps_its_codes_units_and_identity() -> None:
    result = results.result_with_findings()
    bundle = delivered(result)
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
    assert {"text": "Limitations: Research use only."} in observation["note"]
    (device,) = of_type(bundle, "Device")
    assert device["identifier"] == [{"system": "urn:dicom:uid", "value": f"urn:oid:{result.model.device_uid}"}]
    assert "1234.5 mL" in of_type(bundle, "DiagnosticReport")[0]["conclusion"]


def test_side_characteristics_regions_and_images_are_components() -> None:
    case = generated(next(seed for seed in range(50) if any(f.locations for f in generated(seed).result.findings)))
    finding = next(one for one in case.result.findings if one.locations)
    finding = replace(
        finding,
        laterality=Laterality.LEFT,
        characteristics=(Characteristic(Code("111355", "DCM", "Shape"), Code("42700002", "SCT", "Irregular")),),
        evidence=("1.2.3",),
    )
    found = components(replace(case.result, findings=(finding,), quality=()))
    assert found["272741003"]["valueCodeableConcept"]["coding"][0]["code"] == "7771000"
    assert found["111355"]["valueCodeableConcept"]["coding"][0]["code"] == "42700002"
    assert "urn:oid:" in found["111030"]["valueString"]
    assert found["121324"]["valueString"] == "urn:oid:1.2.3"


def test_one_method_is_the_method_and_several_are_notes() -> None:
    first = Measurement(results.VOLUME, 1.0, results.MILLILITRE, METHOD)
    (one,) = of_type(delivered(with_finding(measurements=(first,))), "Observation")
    assert one["method"]["coding"][0]["code"] == "126030"
    second = Measurement(Code("1483009", "SCT", "Angle"), 2.0, Code("deg", "UCUM", "°"), results.BRAIN)
    (both,) = of_type(delivered(with_finding(measurements=(first, second))), "Observation")
    assert "method" not in both
    assert any(note["text"].startswith("Angle: Method: ") for note in both["note"])


def test_a_finding_that_is_a_quantity_has_it_as_its_value() -> None:
    result = results.result_with_findings()
    volume = replace(result.findings[0], code=results.VOLUME)
    (observation,) = of_type(delivered(replace(result, findings=(volume,))), "Observation")
    assert observation["valueQuantity"]["value"] == 1234.5
    assert "valueCodeableConcept" not in observation
    twice = replace(volume, measurements=volume.measurements * 2)
    with pytest.raises(InvalidMessage, match="twice"):
        delivered(replace(result, findings=(twice,)))


def test_no_findings_is_a_report_that_says_so() -> None:
    bundle = delivered(results.result_without_findings())
    (observation,) = of_type(bundle, "Observation")
    assert observation["valueCodeableConcept"]["coding"][0]["code"] == "260385009"
    assert "found nothing" in of_type(bundle, "DiagnosticReport")[0]["conclusion"]


def test_numbers_about_the_run_are_an_observation_of_their_own() -> None:
    quality = (Measurement(Code("111694", "DCM", "Image Set Quality Rating"), 0.5, Code("1", "UCUM", "no units")),)
    bundle = delivered(replace(results.result_without_findings(), quality=quality))
    _, metrics = of_type(bundle, "Observation")
    assert metrics["code"]["coding"][0]["code"] == "111050"
    assert metrics["component"][0]["valueQuantity"]["value"] == 0.5
    assert len(of_type(bundle, "DiagnosticReport")[0]["result"]) == 2


def test_texts_are_in_the_language_of_the_destination_and_codes_are_not() -> None:
    result = with_finding(laterality=Laterality.LEFT)
    english, ukrainian = (delivered(result, language=language) for language in Language)
    for bundle, language in ((english, "en"), (ukrainian, "uk")):
        languages = {e["resource"].get("language") for e in bundle["entry"]} - {None}
        assert languages == {language}
    (ours,), (theirs,) = of_type(ukrainian, "Observation"), of_type(english, "Observation")
    assert "головний мозок" in ours["code"]["text"]
    assert ours["code"]["coding"] == theirs["code"]["coding"]
    assert "ліворуч" in of_type(ukrainian, "DiagnosticReport")[0]["conclusion"]
    assert 'xml:lang="uk"' in ours["text"]["div"]


def test_the_patient_is_a_logical_reference_and_never_a_resource() -> None:
    header = results.headers()[0]
    bundle = delivered(results.result_with_findings(), header)
    subject = of_type(bundle, "DiagnosticReport")[0]["subject"]
    assert subject["identifier"]["value"] == str(header.PatientID)
    assert subject["identifier"]["system"] == SYSTEMS.patient
    assert "reference" not in subject
    assert "display" not in subject
    assert of_type(bundle, "Patient") == []
    assert of_type(bundle, "ServiceRequest") == []
    assert str(header.PatientName) not in json.dumps(bundle, ensure_ascii=False)


def test_a_universal_issuer_names_the_patient_id() -> None:
    header = Dataset()
    header.PatientID = "7"
    item = Dataset()
    item.UniversalEntityID, item.UniversalEntityIDType = "1.2.3", "ISO"
    header.IssuerOfPatientIDQualifiersSequence = [item]
    subject = of_type(delivered(results.result_with_findings(), header), "ImagingStudy")[0]["subject"]
    assert subject["identifier"]["system"] == "urn:oid:1.2.3"


def test_local_time_without_a_zone_is_only_a_date() -> None:
    header = Dataset()
    header.StudyDate, header.StudyTime = "20261122", "093000"
    result = results.result_with_findings()
    assert of_type(delivered(result, header), "ImagingStudy")[0]["started"] == "2026-11-22"
    header.TimezoneOffsetFromUTC = "+0200"
    assert of_type(delivered(result, header), "ImagingStudy")[0]["started"] == "2026-11-22T09:30:00+02:00"


@pytest.mark.parametrize(
    ("day", "clock", "zone", "started"),
    [
        ("2026115", "", "", None),
        ("20260230", "093000", "+0200", None),
        ("00000000", "", "", None),
        ("2026-1-5", "", "", None),
        ("\u0662\u0660\u0662\u0666\u0661\u0661\u0662\u0662", "", "", None),
        ("20261122", "\u0661\u0662\u0663\u0660\u0660\u0660", "+0200", "2026-11-22"),
        ("20261122", "246000", "+0200", "2026-11-22"),
        ("20261122", "093000", "+1430", "2026-11-22"),
        ("20261122", "093000.123456", "+1400", "2026-11-22T09:30:00+14:00"),
        ("20261122", "093000", "-1200", "2026-11-22T09:30:00-12:00"),
    ],
)
def test_a_study_begins_when_its_date_can_be_read(day: str, clock: str, zone: str, started: str | None) -> None:
    header = Dataset()
    for keyword, vr, value in (
        ("StudyDate", "DA", day),
        ("StudyTime", "TM", clock),
        ("TimezoneOffsetFromUTC", "SH", zone),
    ):
        header.add(DataElement(Tag(keyword), vr, value, validation_mode=IGNORE))
    assert study_time(header) == started


def test_a_period_does_not_end_before_it_starts() -> None:
    result = results.result_with_findings()
    late = replace(result, task_created_at=result.occurred_at + timedelta(seconds=2))
    (task,) = of_type(delivered(late), "Task")
    assert task["executionPeriod"]["start"] == task["executionPeriod"]["end"] == task["lastModified"]


def test_the_model_has_its_unique_device_identifier() -> None:
    def carrier(udi: str) -> dict[str, Any]:
        model: ModelIdentity = replace(results.model(), udi=udi)
        bundle = delivered(replace(results.result_with_findings(), model=model))
        (found,) = of_type(bundle, "Device")[0]["udiCarrier"]
        return dict(found)

    gs1 = carrier("(01)04012345678901(10)A1(21)1234")
    assert gs1["deviceIdentifier"] == "04012345678901"
    assert gs1["carrierHRF"].startswith("(01)")
    assert carrier("=)1TE123456A&)RZ12345678") == {"carrierHRF": "=)1TE123456A&)RZ12345678"}


def test_what_is_new_is_created_only_once() -> None:
    entries = delivered(results.result_with_findings())["entry"]
    kinds = [entry["resource"]["resourceType"] for entry in entries]
    assert kinds == ["ImagingStudy", "Device", "Observation", "DiagnosticReport", "Provenance", "Task"]
    assert {entry["request"]["method"] for entry in entries} == {"POST"}
    criteria = [entry["request"]["ifNoneExist"] for entry in entries]
    assert [one.partition("=")[0] for one in criteria] == ["identifier"] * 4 + ["_tag", "identifier"]


def test_provenance_and_task_say_who_made_what() -> None:
    result = results.result_with_findings()
    bundle = delivered(result)
    names = {entry["resource"]["resourceType"]: entry["fullUrl"] for entry in bundle["entry"]}
    (provenance,), (task,) = of_type(bundle, "Provenance"), of_type(bundle, "Task")
    assert {one["reference"] for one in provenance["target"]} == {names["DiagnosticReport"], names["Observation"]}
    assert provenance["agent"][0]["who"]["reference"] == names["Device"]
    assert provenance["recorded"] == "2026-03-01T12:30:15.250Z"
    assert provenance["entity"][0]["what"]["reference"] == names["ImagingStudy"]
    assert (task["status"], task["priority"]) == ("completed", "routine")
    assert task["output"][0]["valueReference"]["reference"] == names["DiagnosticReport"]
    assert task["focus"]["reference"] == names["ImagingStudy"]


def test_a_run_that_failed_is_a_task_with_its_reason_and_no_report() -> None:
    result = could_not_run(3).result
    bundle = failure(result, without_header(result, SYSTEMS), NOTHING, Language.UKRAINIAN, BASE)
    assert structure_errors(bundle) == []
    assert of_type(bundle, "DiagnosticReport") == of_type(bundle, "Observation") == []
    (task,) = of_type(bundle, "Task")
    assert task["status"] == "failed"
    assert task["statusReason"]["text"].startswith("the series has 2 images")
    assert task["focus"]["identifier"]["value"] == f"urn:oid:{result.study_instance_uid}"


def test_another_task_has_other_observations_but_the_same_study_and_model() -> None:
    first = delivered(results.result_with_findings())
    second = delivered(replace(results.result_with_findings(), task_id="another", event_id="another"))
    same = [a["fullUrl"] == b["fullUrl"] for a, b in zip(first["entry"], second["entry"], strict=True)]
    assert same == [True, True, False, False, False, False]


@pytest.mark.parametrize("number", range(len(nasty_texts())))
def test_any_text_fits(number: int) -> None:
    text = nasty_texts()[number]
    bundle = delivered(nasty_case(text).result, language=Language.UKRAINIAN)
    assert structure_errors(bundle) == []
    sent = json.dumps(bundle, ensure_ascii=False).encode()
    assert json.loads(sent) == bundle
    assert not any(ord(char) < 32 for value in _texts(bundle) for char in value if char not in "\t\n\r")


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for item in items for text in _texts(item)]


def test_what_must_not_be_reported_is_refused() -> None:
    result = results.result_with_findings()
    with pytest.raises(InvalidMessage, match="could not run"):
        delivered(replace(result, outcome=ResultOutcome.COULD_NOT_RUN, findings=()))
    with pytest.raises(InvalidMessage, match="tracking UID"):
        delivered(replace(result, findings=result.findings * 2))
    with pytest.raises(InvalidMessage, match="nan"):
        delivered(with_finding(measurements=(Measurement(results.VOLUME, float("nan"), results.MILLILITRE),)))


def test_personal_values_are_known_by_name() -> None:
    header = results.headers()[0]
    bundle = delivered(results.result_with_findings(), header)
    for kinds in (("Task",), ("Observation",), ("ImagingStudy",)):
        found = personal_values(resource for kind in kinds for resource in of_type(bundle, kind))
        assert {str(header.PatientID), str(header.AccessionNumber)} <= found
    told = {"reference": "Patient/4711", "display": "Шевченко Олена"}
    assert {"4711", "Шевченко Олена"} <= personal_values([{"resourceType": "Observation", "subject": told}])
