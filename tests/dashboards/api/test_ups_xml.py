"""Workitems in the Native DICOM Model, for clients that speak no JSON."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import HTTP

import httpx
import pytest
from pydicom import Dataset

from dashboards.ups.native_xml import from_xml
from producers.dicomweb.native_xml import to_xml
from schemas.events import InferenceTask
from tests.dashboards.api.conftest import Service
from tests.dashboards.api.test_ups import UID, WORKITEM, new_workitem
from tests.dashboards.fleet import heartbeat, study
from tests.dashboards.story import Story

XML, JSON = "application/dicom+xml", "application/dicom+json"


@pytest.fixture
def story(service: Service) -> Story:
    story = Story(UID)
    service.read(study(story), heartbeat(service.now))
    return story


def same(item: Dataset) -> dict[str, object]:
    return {tag: one for tag, one in item.to_json_dict().items() if one.get("Value")}


async def test_a_workitem_is_created_and_read_in_xml(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    body = to_xml(new_workitem(PatientName="Ґалаґан^Євгенія").to_json_dict())
    created = await client.post(f"/workitems?{WORKITEM}", content=body, headers={"content-type": XML})
    assert created.status_code == 201, created.text
    task = service.published[0][2]
    assert isinstance(task, InferenceTask)
    assert task.parameters is not None
    assert (task.study_instance_uid, task.parameters.confidence_threshold) == (UID, 0.6)

    one = await client.get(f"/workitems/{WORKITEM}", headers={"accept": XML})
    assert one.headers["content-type"] == XML
    whole = await client.get(f"/workitems/{WORKITEM}")
    assert same(Dataset.from_json(from_xml(one.content))) == same(Dataset.from_json(whole.json()[0]))

    listed = await client.get("/workitems", headers={"accept": f'multipart/related; type="{XML}"'})
    head = b"content-type: " + listed.headers["content-type"].encode() + b"\r\n\r\n"
    (part,) = message_from_bytes(head + listed.content, policy=HTTP).iter_parts()
    assert part.get_content_type() == XML
    item = Dataset.from_json(from_xml(part.get_payload(decode=True)))
    assert (item.SOPInstanceUID, item.ProcedureStepState) == (WORKITEM, "SCHEDULED")


def test_names_numbers_and_sequences_come_back_as_they_were() -> None:
    item = new_workitem(PatientName="Yamada^Tarou=山田^太郎", ReferencedFrameNumber=[3, 4])
    assert Dataset.from_json(from_xml(to_xml(item.to_json_dict()))) == Dataset.from_json(item.to_json_dict())


@pytest.mark.parametrize(
    "body",
    [
        b"<x/>",
        b"<NativeDicomModel>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><NativeDicomModel/>',
        '<!DOCTYPE x [<!ENTITY a "b">]><NativeDicomModel/>'.encode("utf-16"),
        b"<NativeDicomModel><x/></NativeDicomModel>",
        b'<NativeDicomModel><DicomAttribute tag="00741000" vr="SQ"><Value number="1">x</Value></DicomAttribute>'
        b"</NativeDicomModel>",
        b'<NativeDicomModel><DicomAttribute tag="0040A30A" vr="DS"><Value number="1">x</Value></DicomAttribute>'
        b"</NativeDicomModel>",
    ],
)
async def test_what_is_no_data_set_is_refused(service: Service, client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post(f"/workitems?{WORKITEM}", content=body, headers={"content-type": XML})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert "DICOM XML" in answer.json()["detail"]
    assert service.published == []


async def test_what_is_not_served_is_named(client: httpx.AsyncClient, service: Service) -> None:
    service.read(Story(UID).task())
    answer = await client.get("/workitems", headers={"accept": "application/pdf"})
    assert (answer.status_code, answer.headers["content-type"]) == (406, "application/problem+json")
    assert JSON in answer.json()["detail"]
    assert XML in answer.headers["warning"]
    either = await client.get("/workitems", headers={"accept": f"application/pdf, {JSON};q=0.5"})
    assert either.headers["content-type"] == JSON
    body = await client.post("/workitems", content=b"x", headers={"content-type": "application/dicom"})
    assert (body.status_code, XML in body.json()["detail"]) == (415, True)
