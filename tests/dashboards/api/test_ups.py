"""Inference tasks as workitems over UPS-RS, on the wire and by pydicom's reading of what is sent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest
from pydicom import Dataset
from websockets.sync.client import connect

from dashboards.live.records import TaskView
from dashboards.ups import rendered
from dashboards.ups.workitem import workitem
from schemas.events import CommandKind, InferenceTask, TaskCommand, TaskState
from schemas.topics import Priority, Topic
from tests.dashboards.api.conftest import Service, served
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
        ({"ScheduledWorkitemCodeSequence": [code("unknown")]}, 400, "no worker has a model"),
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
    assert (await client.post(f"{path}/cancelrequest")).status_code == 202, "PS3.18 11.8.3.2"


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
    codes = "ScheduledWorkitemCodeSequence"
    assert (
        len(await found(**{f"{codes}.CodeValue": MODEL, f"{codes}.CodingSchemeDesignator": "99SCANSTREAM"})) == 6
    )
    assert await found(**{f"{codes}.CodeValue": MODEL, f"{codes}.CodingSchemeDesignator": "DCM"}) == []
    assert await found(**{f"{codes}.LongCodeValue": MODEL}) == [], "it is short enough"
    assert len(await found(ScheduledProcedureStepStartDateTime="20260115-20260116")) == 6
    assert await found(ScheduledProcedureStepStartDateTime="20260116-") == []
    assert len(await found(limit="4", ProcedureStepLabel="AI*")) == 4
    assert len(await found(limit="4", offset="4", ProcedureStepLabel="AI*", includefield="all")) == 2
    for wrong in ("PatientName=x", "limit=many", "Nonsense=1"):
        assert (await client.get(f"/workitems?{wrong}")).status_code == 400, wrong
    assert (await client.get("/workitems", headers={"accept": "application/pdf"})).status_code == 406


async def test_a_search_makes_the_workitems_of_its_page_only(
    service: Service, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.read(*(Story(f"1.{number}").task() for number in range(300)))
    made = list[str]()

    def counted(task: TaskView, *given: Any, **more: Any) -> dict[str, Any]:
        made.append(task.task_id)
        return workitem(task, *given, **more)

    monkeypatch.setattr(rendered, "workitem", counted)
    assert (await client.get("/workitems?ProcedureStepLabel=none*")).status_code == 204
    assert made == []
    page = read(await client.get("/workitems?limit=4&offset=296&ProcedureStepLabel=AI*"))
    assert len(page) == len(made) == 4


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
        service.read(filtered.status(TaskState.INFERRING, 3))
        with connect(f"ws://{address}/subscribers/RIS") as channel:
            assert hear(channel.recv(30))[1:] == (1, "IN PROGRESS"), "it was there before the suspension"
            # whoever subscribes while connected hears at once
            assert http.post(f"/workitems/{GLOBAL}/subscribers/RIS").status_code == 201
            assert hear(channel.recv(30))[1:] == (1, "IN PROGRESS")


def test_a_request_to_cancel_and_a_new_workitem_are_reported(service: Service) -> None:
    running, new = Story("1.2.3"), Story("1.2.4")
    service.read(running.task(), running.status(TaskState.INFERRING, 3))
    with served(service) as address, httpx.Client(base_url=f"http://{address}") as http:
        uid = http.get(f"/v1/tasks/{running.task_id}").json()["links"]["ups"].rpartition("/")[2]
        assert http.post(f"/workitems/{GLOBAL}/subscribers/PERFORMER").status_code == 201
        with connect(f"ws://{address}/subscribers/PERFORMER") as channel:
            assert hear(channel.recv(30)) == (uid, 1, "IN PROGRESS")
            why = Dataset()
            why.ReasonForCancellation = "Не той пацієнт"
            asked = http.post(f"/workitems/{uid}/cancelrequest", content=as_json(why), headers=JSON)
            assert asked.status_code == 202
            report = Dataset.from_json(orjson.loads(channel.recv(30)))
            assert report.AffectedSOPClassUID == "1.2.840.10008.5.1.4.34.6.1", "PS3.4 CC.2.4.3"
            assert (report.AffectedSOPInstanceUID, report.EventTypeID) == (uid, 2)
            assert (report.RequestingAE, report.ReasonForCancellation) == ("ups", "Не той пацієнт")
            # asked again, and through another door: it was told
            http.post(f"/workitems/{uid}/cancelrequest")
            http.post(f"/v1/tasks/{running.task_id}/cancel")
            service.read(running.status(TaskState.CANCELLED, 4))
            assert hear(channel.recv(30)) == (uid, 1, "CANCELED")
            service.read(new.task(), new.status(TaskState.QUEUED, 2.1))
            other = hear(channel.recv(30))
            assert other[1:] == (1, "SCHEDULED")
            assigned = Dataset.from_json(orjson.loads(channel.recv(30)))
            assert (assigned.AffectedSOPInstanceUID, assigned.EventTypeID) == (other[0], 5)
            assert assigned.ScheduledStationNameCodeSequence[0].CodeValue == "scanstream"


def test_whoever_connects_hears_of_requests_that_are_open(service: Service) -> None:
    running = Story("1.2.3")
    service.read(running.task(), running.status(TaskState.INFERRING, 3))
    with served(service) as address, httpx.Client(base_url=f"http://{address}") as http:
        http.post(f"/v1/tasks/{running.task_id}/cancel", json={"actor": "o.koval"})
        http.post(f"/workitems/{GLOBAL}/subscribers/RIS")
        with connect(f"ws://{address}/subscribers/RIS") as channel:
            asked = Dataset.from_json(orjson.loads(channel.recv(30)))
            assert (asked.EventTypeID, asked.RequestingAE) == (2, "o.koval")
            assert hear(channel.recv(30))[1:] == (1, "IN PROGRESS")


def hear(text: str | bytes) -> tuple[str, int, str]:
    report = Dataset.from_json(orjson.loads(text))
    return report.AffectedSOPInstanceUID, report.EventTypeID, report.get("ProcedureStepState", "")
