"""Results over real HTTP, on two servers: the facade and sekmet-fhir. Nothing is doubled, nothing is lost."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from consumers.fhir.client import FhirClient
from consumers.fhir.destination import FhirDestination
from schemas.errors import InvalidMessage
from schemas.events import DeliveryStatus
from schemas.ids import event_id
from schemas.terminology import Language
from tests.consumers import results
from tests.consumers.fhir.bundles import SYSTEMS
from tests.consumers.fhir.conftest import TYPES, DemoHeaders, all_of, totals
from tests.consumers.generated import big_case, could_not_run, generated, nasty_case, nasty_texts

KINDS = ["ImagingStudy", "Device", "Observation", "DiagnosticReport", "Provenance", "Task"]


def test_twice_is_once(base: str, destination: FhirDestination) -> None:
    destination.probe()
    result = results.result_with_findings()
    first, second = destination.deliver(result), destination.deliver(result)
    assert [one.object_type for one in first] == KINDS
    assert {one.status for one in (*first, *second)} == {DeliveryStatus.STORED}
    assert {one.status_code for one in first} == {201}
    assert {one.status_code for one in second} == {200}
    # what made the report is told once; all else is found again
    assert {one.url for one in second} == {one.url for one in first if one.object_type != "Provenance"}
    assert totals(base) == dict.fromkeys(TYPES, 1)


def test_what_was_sent_can_be_read_and_found(base: str, destination: FhirDestination) -> None:
    stored = destination.deliver(results.result_with_findings())
    by_type = {one.object_type: one for one in stored}
    report = httpx.get(str(by_type["DiagnosticReport"].url)).json()
    assert report["status"] == "preliminary"
    assert report["meta"]["security"][0]["code"] == "AIAST"
    for link, kind in ((report["result"][0], "Observation"), (report["imagingStudy"][0], "ImagingStudy")):
        assert link["reference"] == str(by_type[kind].url).removeprefix(f"{base}/")
    identifier = report["identifier"][0]
    found = httpx.get(
        f"{base}/DiagnosticReport", params={"identifier": f"{identifier['system']}|{identifier['value']}"}
    ).json()
    assert [entry["resource"]["id"] for entry in found["entry"]] == [report["id"]]
    observation = httpx.get(str(by_type["Observation"].url)).json()
    assert observation["device"]["reference"].startswith("Device/")
    provenance = httpx.get(str(by_type["Provenance"].url)).json()
    assert {one["reference"] for one in provenance["target"]} == {
        f"DiagnosticReport/{report['id']}",
        f"Observation/{observation['id']}",
    }
    task = httpx.get(f"{base}/Task", params={"status": "completed"}).json()
    assert (
        task["entry"][0]["resource"]["output"][0]["valueReference"]["reference"]
        == f"DiagnosticReport/{report['id']}"
    )


def test_a_second_task_shares_the_study_and_the_model(base: str, destination: FhirDestination) -> None:
    result = results.result_with_findings()
    destination.deliver(result)
    destination.deliver(replace(result, task_id="another", event_id=event_id("result", "another")))
    doubled = dict.fromkeys(("Observation", "DiagnosticReport", "Provenance", "Task"), 2)
    assert totals(base) == {"ImagingStudy": 1, "Device": 1, **doubled}


def test_an_imaging_study_that_is_there_is_left_alone(base: str, destination: FhirDestination) -> None:
    result = results.result_with_findings()
    url = destination.deliver(result)[0].url
    before = httpx.get(str(url)).json()
    destination.deliver(replace(result, task_id="another", sop_instance_uids=result.sop_instance_uids[:1]))
    assert httpx.get(str(url)).json() == before


def test_a_patient_and_an_order_that_are_there_are_referred_to(base: str, destination: FhirDestination) -> None:
    header = results.headers()[0]
    patient = {
        "resourceType": "Patient",
        "identifier": [{"system": SYSTEMS.patient, "value": str(header.PatientID)}],
    }
    order = {
        "resourceType": "ServiceRequest",
        "identifier": [{"system": SYSTEMS.accession, "value": str(header.AccessionNumber)}],
        "status": "active",
        "intent": "order",
        "subject": {"reference": "urn:uuid:patient"},
    }
    entries = [
        {"fullUrl": "urn:uuid:patient", "resource": patient, "request": {"method": "POST", "url": "Patient"}},
        {"resource": order, "request": {"method": "POST", "url": "ServiceRequest"}},
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    made = httpx.post(base, json=bundle, headers={"Content-Type": "application/fhir+json"}).json()["entry"]
    places = ["/".join(one["response"]["location"].split("/_history/")[0].split("/")[-2:]) for one in made]
    destination.deliver(results.result_with_findings())
    (report,) = all_of(base, "DiagnosticReport")
    assert report["subject"]["reference"] == places[0]
    assert report["basedOn"][0]["reference"] == places[1]
    assert (totals(base)["DiagnosticReport"], len(all_of(base, "Patient"))) == (1, 1)
    found = httpx.get(f"{base}/DiagnosticReport", params={"subject": places[0], "based-on": places[1]}).json()
    assert found["total"] == 1


def test_results_of_all_kinds_are_taken(base: str, destination: FhirDestination) -> None:
    cases = [generated(seed) for seed in range(12)]
    cases += [nasty_case(text) for text in nasty_texts()]
    for case in cases:
        result = replace(case.result, revision=1)
        assert {one.status for one in destination.deliver(result)} == {DeliveryStatus.STORED}


def test_five_hundred_findings(base: str, destination: FhirDestination) -> None:
    result = big_case(500).result
    assert {one.status for one in destination.deliver(result)} == {DeliveryStatus.STORED}
    again = destination.deliver(result)
    assert {one.status_code for one in again} == {200}
    assert totals(base)["Observation"] == 500 + bool(result.quality)


def test_a_run_that_failed_is_a_task_and_a_later_success_completes_it(
    base: str, destination: FhirDestination
) -> None:
    failed = replace(could_not_run(1).result, task_id="task-1")
    for _ in range(2):
        assert {one.status for one in destination.deliver(failed)} == {DeliveryStatus.STORED}
    assert totals(base) == {**dict.fromkeys(TYPES, 0), "Device": 1, "Task": 1}
    assert all_of(base, "Task")[0]["status"] == "failed"
    succeeded = replace(results.result_with_findings(), task_id="task-1", model=failed.model)
    destination.deliver(succeeded)
    assert [task["status"] for task in all_of(base, "Task")] == ["completed"]
    (late,) = destination.deliver(failed)
    assert late.status is DeliveryStatus.SKIPPED
    assert [task["status"] for task in all_of(base, "Task")] == ["completed"]


def test_what_cannot_be_told_is_a_dead_letter() -> None:
    client = FhirClient("http://127.0.0.1:9", None, 1.0)
    destination = FhirDestination(client, DemoHeaders(), SYSTEMS, Language.ENGLISH)
    result = results.result_with_findings()
    with pytest.raises(InvalidMessage, match="no source instance"):
        destination.deliver(replace(result, sop_instance_uids=()))
    with pytest.raises(InvalidMessage, match="another study"):
        destination.deliver(replace(result, study_instance_uid="1.2.3"))
    client.close()
