"""Inference tasks as workitems over UPS-RS, on the wire and by pydicom's reading of what is sent."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest
from pydicom import Dataset
from websockets.sync.client import connect

from dashboards.api.app import create_app
from dashboards.api.server import listen, serving
from schemas.events import CommandKind, InferenceTask, TaskCommand, TaskState
from schemas.topics import Priority, Topic
from tests.dashboards.api.conftest import Service, context_of
from tests.dashboards.fleet import heartbeat, study
from tests.dashboards.story import MODEL, Story

UID, WORKITEM = "1.2.3", "1.2.840.99.17"
JSON = {"content-type": "application/dicom+json"}
GLOBAL, FILTERED = "1.2.840.10008.5.1.4.34.5", "1.2.840.10008.5.1.4.34.5.1"


@pytest.fixture
def story(service: Service) -> Story:
    story = Story(UID)
    service.read(study(story), heartbeat(service.now))
    return story


def code(value: str, scheme: str = "99SCANSTREAM") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, value
    return item


def new_workitem(**more: Any) -> Dataset:
    item = Dataset()
    item.SOPClassUID = "1.2.840.10008.5.1.4.34.6.1"
    item.ProcedureStepState = "SCHEDULED"
    item.ScheduledProcedureStepPriority = "HIGH"
    item.TransactionUID = ""
    item.InputReadinessState = "READY"
    item.ScheduledWorkitemCodeSequence = [code(MODEL)]
    given = Dataset()
    given.StudyInstanceUID, given.SeriesInstanceUID, given.TypeOfInstances = UID, f"{UID}.2", "DICOM"
    item.InputInformationSequence = [given]
    threshold = Dataset()
    threshold.ValueType, threshold.NumericValue = "NUMERIC", "0.6"
    threshold.ConceptNameCodeSequence = [Dataset()]
    threshold.ConceptNameCodeSequence[0].LongCodeValue = "confidence-threshold"
    item.ScheduledProcessingParametersSequence = [threshold]
    for keyword, value in more.items():
        setattr(item, keyword, value)
    return item


def as_json(item: Dataset) -> bytes:
    return orjson.dumps([item.to_json_dict()])


def read(response: httpx.Response) -> list[Dataset]:
    assert response.headers["content-type"] == "application/dicom+json"
    return [Dataset.from_json(one) for one in response.json()]


async def test_a_workitem_for_a_model_becomes_a_task(service: Service, client: httpx.AsyncClient, story: Story):
    answer = await client.post(f"/workitems?{WORKITEM}", content=as_json(new_workitem()), headers=JSON)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"http://api/workitems/{WORKITEM}"
    ((topic, _, task), _) = service.published
    assert isinstance(task, InferenceTask)
    assert (topic, task.requested_by, task.model_name) == (Topic.TASKS_P2, "ups", MODEL)
    assert [one.series_instance_uid for one in task.series] == [f"{UID}.2"]
    assert task.parameters is not None
    assert task.parameters.confidence_threshold == 0.6
    again = await client.post(f"/workitems?workitem={WORKITEM}", content=as_json(new_workitem()), headers=JSON)
    assert (again.status_code, "warning" in again.headers) == (409, True)
    [item] = read(await client.get(f"/workitems/{WORKITEM}"))
    assert (item.SOPInstanceUID, item.ProcedureStepState) == (WORKITEM, "SCHEDULED")
    assert item.ScheduledProcedureStepPriority == "HIGH"
    [given] = item.InputInformationSequence
    assert given.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == f"{UID}.2.1"
    assert given.WADORSRetrievalSequence[0].RetrieveURL.endswith(f"/studies/{UID}/series/{UID}.2")
    assert item.ScheduledProcessingParametersSequence[1].NumericValue == 0.6
    assert "TransactionUID" not in item, "the lock is told to nobody"
    assert (item.PatientName, item.PatientID) == ("", "")
    v1 = (await client.get(f"/v1/tasks/{task.task_id}")).json()
    assert v1["links"]["ups"] == f"http://api/workitems/{WORKITEM}"


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"ProcedureStepState": "IN PROGRESS"}, 400, "must be SCHEDULED"),
        ({"TransactionUID": "1.2"}, 400, "must be empty"),
        ({"ScheduledProcedureStepPriority": "NOW"}, 400, "HIGH, MEDIUM or LOW"),
        ({"InputReadinessState": "UNAVAILABLE"}, 400, "UNAVAILABLE"),
        ({"ScheduledWorkitemCodeSequence": [code("110004", "DCM")]}, 400, "names no model"),
        ({"ScheduledWorkitemCodeSequence": []}, 400, "names no model"),
        ({"ScheduledWorkitemCodeSequence": [code("unknown")]}, 422, "no worker has a model"),
        ({"InputInformationSequence": []}, 400, "names no study"),
        ({"SOPInstanceUID": "1.2.9"}, 400, "another one"),
    ],
)
async def test_what_is_not_for_us_is_refused(
    service: Service, client: httpx.AsyncClient, story: Story, change: dict[str, Any], status: int, said: str
):
    answer = await client.post(f"/workitems?{WORKITEM}", content=as_json(new_workitem(**change)), headers=JSON)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["detail"]
    assert service.published == []


@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        ("/workitems?1.2.3", b"{", JSON["content-type"], 400),
        ("/workitems?1.2.3", b"[[]]", JSON["content-type"], 400),
        ("/workitems?1.2.3", b'{"00741000": {"vr": "CS", "Value": [{"x": 1}]}}', JSON["content-type"], 400),
        ("/workitems?1.2.3", b"[]", "text/plain", 415),
        ("/workitems?..%2Fx", b"{}", JSON["content-type"], 400),
        ("/workitems?1.02.3", b"{}", JSON["content-type"], 400),
        ("/workitems/9.9/cancelrequest", b"", JSON["content-type"], 404),
        ("/workitems/9.9", b"{}", JSON["content-type"], 404),
    ],
)
async def test_broken_requests(client: httpx.AsyncClient, path: str, body: bytes, kind: str, status: int):
    answer = await client.post(path, content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), (
        answer.text
    )


async def test_every_task_is_a_workitem_and_lists_its_objects_before_it_is_completed(
    service: Service, client: httpx.AsyncClient
):
    story = Story(UID)
    seen = list[tuple[str, int]]()
    *before, stow, _ = story.whole()[1:]
    url = f"http://gw/dicom-web/studies/{UID}/series/1.9.1/instances/2.25.1"
    objects = (replace(stow.objects[0], url=url), *stow.objects[1:])  # type: ignore[union-attr] # a delivery
    path = ""
    for event in (*before, replace(stow, objects=objects)):  # type: ignore[type-var]
        service.read(event)
        path = path or (await client.get(f"/v1/tasks/{story.task_id}")).json()["links"]["ups"]
        [item] = read(await client.get(path))
        progress = item.ProcedureStepProgressInformationSequence[0]
        if (state := (item.ProcedureStepState, int(progress.ProcedureStepProgress))) not in seen:
            seen.append(state)
    assert seen == [("SCHEDULED", 0), ("IN PROGRESS", 10), ("IN PROGRESS", 100), ("COMPLETED", 100)]
    [performed] = item.UnifiedProcedureStepPerformedProcedureSequence
    first, second = performed.OutputInformationSequence
    assert first.SeriesInstanceUID == "1.9.1"
    assert first.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "2.25.1"
    assert second.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "2.25.2"
    assert performed.PerformedStationNameCodeSequence[0].CodeValue == "worker-1"
    assert (await client.get("/workitems/2.25.1")).status_code == 404


async def test_who_changes_the_state_and_who_may_ask_for_it(
    service: Service, client: httpx.AsyncClient, story: Story
):
    await client.post(f"/workitems?{WORKITEM}", content=as_json(new_workitem()), headers=JSON)
    task_id = service.published[0][2].task_id  # type: ignore[union-attr] # a task
    path, service.published[:] = f"/workitems/{WORKITEM}", []

    async def put(state: str, transaction: str = "1.2.5") -> int:
        change = Dataset()
        change.ProcedureStepState, change.TransactionUID = state, transaction
        answer = await client.put(f"{path}/state", content=as_json(change), headers=JSON)
        return answer.status_code

    assert await put("IN PROGRESS") == 409, "workers claim by themselves"
    assert await put("CANCELED") == 409, "not from SCHEDULED"
    assert await put("IN PROGRESS", "") == 400
    assert await put("DONE") == 400
    change = Dataset()
    change.ScheduledProcedureStepPriority = "HIGH"
    assert (await client.post(path, content=as_json(change), headers=JSON)).status_code == 200
    change.WorklistLabel = "mine"
    assert (await client.post(path, content=as_json(change), headers=JSON)).status_code == 400
    story.task_id = task_id
    service.read(story.status(TaskState.INFERRING, 3))
    del change.WorklistLabel
    assert (await client.post(path, content=as_json(change), headers=JSON)).status_code == 400, "no lock"
    assert await put("COMPLETED") == 400, "not with this lock"
    why = Dataset()
    why.ReasonForCancellation = "Не той пацієнт"
    assert (await client.post(f"{path}/cancelrequest", content=as_json(why), headers=JSON)).status_code == 202
    assert (await client.post(f"{path}/cancelrequest")).status_code == 202
    told = [event for _, _, event in service.published if isinstance(event, TaskCommand)]
    assert [(one.kind, one.actor, one.reason) for one in told] == [(CommandKind.CANCEL, "ups", "Не той пацієнт")]
    service.read(story.status(TaskState.CANCELLED, 4))
    [item] = read(await client.get(path))
    progress = item.ProcedureStepProgressInformationSequence[0]
    assert (item.ProcedureStepState, progress.ReasonForCancellation) == ("CANCELED", "Не той пацієнт")
    assert progress.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeValue == "110513"
    assert await put("CANCELED") == 200
    assert await put("COMPLETED") == 409
    assert (await client.post(f"{path}/cancelrequest")).status_code == 409


async def test_a_lower_priority_becomes_more_urgent(service: Service, client: httpx.AsyncClient, story: Story):
    low = new_workitem(ScheduledProcedureStepPriority="LOW")
    await client.post(f"/workitems?{WORKITEM}", content=as_json(low), headers=JSON)
    change = Dataset()
    change.ScheduledProcedureStepPriority = "HIGH"
    assert (await client.post(f"/workitems/{WORKITEM}", content=as_json(change), headers=JSON)).status_code == 200
    [item] = read(await client.get(f"/workitems/{WORKITEM}"))
    assert item.ScheduledProcedureStepPriority == "HIGH"
    change.ScheduledProcedureStepPriority = "LOW"
    assert (await client.post(f"/workitems/{WORKITEM}", content=as_json(change), headers=JSON)).status_code == 409


async def test_searches(service: Service, client: httpx.AsyncClient):
    for number in range(6):
        service.read(Story(f"1.{number}", Priority.P1_EMERGENCY if number % 2 else Priority.P4_ROUTINE).task())
    service.read(Story("1.3").status(TaskState.INFERRING, 3))

    async def found(**query: str) -> list[str]:
        answer = await client.get("/workitems", params=query)
        if answer.status_code == 204:
            return []
        return sorted(item.InputInformationSequence[0].StudyInstanceUID for item in read(answer))

    assert await found(ProcedureStepState="IN PROGRESS") == ["1.3"]
    assert await found(**{"00741000": "SCHEDULED", "ScheduledProcedureStepPriority": "HIGH"}) == ["1.1", "1.5"]
    assert await found(**{"InputInformationSequence.StudyInstanceUID": "1.4,1.5"}) == ["1.4", "1.5"]
    assert await found(**{"00404021.0020000D": "1.4"}) == ["1.4"]
    assert len(await found(**{"ScheduledWorkitemCodeSequence.CodeValue": "brain*"})) == 6
    assert await found(**{"ScheduledWorkitemCodeSequence.CodeValue": "lung*"}) == []
    assert len(await found(ScheduledProcedureStepStartDateTime="20260115-20260116")) == 6
    assert await found(ScheduledProcedureStepStartDateTime="20260116-") == []
    assert len(await found(limit="4", ProcedureStepLabel="AI*")) == 4
    assert len(await found(limit="4", offset="4", ProcedureStepLabel="AI*", includefield="all")) == 2
    for wrong in ("PatientName=x", "limit=many", "Nonsense=1"):
        assert (await client.get(f"/workitems?{wrong}")).status_code == 400, wrong
    assert (await client.get("/workitems", headers={"accept": "application/pdf"})).status_code == 406


@contextmanager
def served(service: Service) -> Iterator[str]:
    """The API on a port of its own; yields its address without the scheme."""
    with (
        listen("127.0.0.1", 0) as listener,
        serving(create_app(context_of(service), service.store), listener, time.sleep),
    ):
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_subscribers_hear_of_what_they_asked_for(service: Service) -> None:
    mine, other, filtered = Story("1.2.3"), Story("1.2.4"), Story("1.2.5", Priority.P1_EMERGENCY)
    service.read(mine.task(), other.task(), filtered.task())
    with served(service) as address, httpx.Client(base_url=f"http://{address}") as http:
        uid = http.get(f"/v1/tasks/{mine.task_id}").json()["links"]["ups"].rpartition("/")[2]
        made = http.post(f"/workitems/{uid}/subscribers/RIS")
        assert (made.status_code, made.headers["content-location"]) == (201, f"ws://{address}/subscribers/RIS")
        query = {"filter": "ScheduledProcedureStepPriority=HIGH"}
        assert http.post(f"/workitems/{FILTERED}/subscribers/RIS", params=query).status_code == 201
        assert http.post(f"/workitems/{FILTERED}/subscribers/RIS").status_code == 400
        assert http.post("/workitems/9.9/subscribers/RIS").status_code == 404
        assert http.post(f"/workitems/{GLOBAL}/subscribers/{'X' * 17}").status_code == 400
        with connect(made.headers["content-location"]) as channel:
            first = [hear(channel.recv(30)) for _ in range(2)]
            assert {one[1:] for one in first} == {(1, "SCHEDULED")}
            service.read(other.status(TaskState.INFERRING, 3), mine.status(TaskState.INFERRING, 3))
            assert hear(channel.recv(30)) == (uid, 1, "IN PROGRESS")
            assert hear(channel.recv(30))[:2] == (uid, 3)
            service.read(mine.result(), mine.status(TaskState.COMPLETED, 5, progress=100))
            assert hear(channel.recv(30))[:2] == (uid, 3), "100 %, and not completed without its objects"
            service.read(mine.delivered("stow", 6))
            assert hear(channel.recv(30)) == (uid, 1, "COMPLETED")
        assert http.delete(f"/workitems/{uid}/subscribers/RIS").status_code == 200
        assert http.delete(f"/workitems/{uid}/subscribers/RIS").status_code == 404
        assert http.post(f"/workitems/{FILTERED}/subscribers/RIS/suspend").status_code == 200
        with connect(f"ws://{address}/subscribers/RIS") as channel:
            service.read(filtered.status(TaskState.INFERRING, 3))
            with pytest.raises(TimeoutError):
                channel.recv(1.5)
            # whoever subscribes while connected hears at once
            assert http.post(f"/workitems/{GLOBAL}/subscribers/RIS").status_code == 201
            states = sorted(hear(channel.recv(30))[2] for _ in range(2))
            assert states == ["IN PROGRESS", "IN PROGRESS"]


def hear(text: str | bytes) -> tuple[str, int, str]:
    report = Dataset.from_json(orjson.loads(text))
    return report.AffectedSOPInstanceUID, report.EventTypeID, report.get("ProcedureStepState", "")


def test_a_client_that_does_not_read_its_events_keeps_nobody_waiting(service: Service) -> None:
    story = Story(UID)
    service.read(story.task())
    with served(service) as address, socket.create_connection(address.split(":")) as silent:
        silent.sendall(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n")
        assert silent.recv(12) == b"HTTP/1.1 200"
        with httpx.Client(base_url=f"http://{address}", timeout=30) as http:
            for number in range(5_000):
                service.read(replace(story.status(TaskState.INFERRING, 3), progress=number % 100))
            assert http.get(f"/v1/tasks/{story.task_id}").json()["progress"] == 99
            with http.stream("GET", f"/v1/tasks/{story.task_id}/events") as stream:
                assert next(line for line in stream.iter_lines() if line.startswith("data")).count('"inferring"')
