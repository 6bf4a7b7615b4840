"""The same result twice, over real HTTP, on two servers: the facade and sekmet-fhir. Nothing is doubled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from pydicom import Dataset

from consumers.fhir.client import FhirClient
from consumers.fhir.destination import FhirDestination
from schemas.errors import InvalidMessage
from schemas.events import DeliveryStatus
from schemas.ids import dicom_uid
from tests.consumers import results
from tests.consumers.fhir import servers

TYPES = ("ImagingStudy", "Device", "Observation", "DiagnosticReport")


class DemoHeaders:
    """The demonstration series as a source of headers."""

    def fetch_headers(
        self, retrieve_url: str, series_instance_uid: str, sop_instance_uids: Sequence[str]
    ) -> list[Dataset]:
        found = {str(header.SOPInstanceUID): header for header in results.headers()}
        return [found[uid] for uid in sop_instance_uids]


@pytest.fixture(params=["facade", pytest.param("sekmet", marks=pytest.mark.integration)])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    start = {"facade": servers.facade, "sekmet": servers.sekmet}[request.param]
    with start(tmp_path) as url:
        yield url


@pytest.fixture
def destination(base: str) -> Iterator[FhirDestination]:
    client = FhirClient(base, None, 30.0)
    yield FhirDestination(client, DemoHeaders(), "urn:example:mrn")
    client.close()


def totals(base: str) -> dict[str, int]:
    return {kind: httpx.get(f"{base}/{kind}").json()["total"] for kind in TYPES}


def test_twice_is_once(base: str, destination: FhirDestination) -> None:
    destination.probe()
    result = results.result_with_findings()
    first, second = destination.deliver(result), destination.deliver(result)
    assert {one.status for one in (*first, *second)} == {DeliveryStatus.STORED}
    assert [one.status_code for one in first] == [201, 201, 201, 201]
    assert [one.status_code for one in second] == [200, 200, 200, 200]
    assert [one.url for one in first] == [one.url for one in second]
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


def test_a_second_task_shares_the_study_and_the_model(base: str, destination: FhirDestination) -> None:
    result = results.result_with_findings()
    destination.deliver(result)
    destination.deliver(replace(result, task_id="another"))
    assert totals(base) == {"ImagingStudy": 1, "Device": 1, "Observation": 2, "DiagnosticReport": 2}


def test_an_imaging_study_that_is_there_is_left_alone(base: str, destination: FhirDestination) -> None:
    result = results.result_with_findings()
    url = destination.deliver(result)[0].url
    before = httpx.get(str(url)).json()
    destination.deliver(replace(result, task_id="another", sop_instance_uids=result.sop_instance_uids[:1]))
    assert httpx.get(str(url)).json() == before


def test_no_findings_and_many_findings(base: str, destination: FhirDestination) -> None:
    base_result = results.result_with_findings()
    many = tuple(replace(base_result.findings[0], tracking_uid=dicom_uid("many", n)) for n in range(50))
    for result in (results.result_without_findings(), replace(base_result, task_id="many", findings=many)):
        assert {one.status for one in destination.deliver(result)} == {DeliveryStatus.STORED}
    assert totals(base)["Observation"] == 51


def test_a_result_without_source_instances_is_a_dead_letter() -> None:
    client = FhirClient("http://127.0.0.1:9", None, 1.0)
    destination = FhirDestination(client, DemoHeaders(), "urn:example:mrn")
    with pytest.raises(InvalidMessage, match="no source instance"):
        destination.deliver(replace(results.result_with_findings(), sop_instance_uids=()))
    client.close()
