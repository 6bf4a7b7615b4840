"""Status codes and header fields of every transaction on workitems, as PS3.18 11 has them."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest
from pydicom import Dataset

from schemas.events import InferenceTask, TaskState
from tests.dashboards.api.conftest import Service
from tests.dashboards.api.test_ups import JSON, UID, WORKITEM, as_json, code, new_workitem, read
from tests.dashboards.fleet import heartbeat, study
from tests.dashboards.story import Story

INCONSISTENT = "The submitted request is inconsistent with the state of the UPS Instance."
PATH = f"/workitems/{WORKITEM}"
LOCK = "1.2.5.6"


@pytest.fixture
def story(service: Service) -> Story:
    story = Story(UID)
    service.read(study(story), heartbeat(service.now))
    return story


async def created(
    service: Service, client: httpx.AsyncClient, story: Story, *states: TaskState, **more: Any
) -> httpx.Response:
    answer = await client.post(f"/workitems?{WORKITEM}", content=as_json(new_workitem(**more)), headers=JSON)
    assert answer.status_code == 201, answer.text
    task = service.published[0][2]
    assert isinstance(task, InferenceTask)
    story.task_id = task.task_id
    for seconds, state in enumerate(states, 3):
        service.read(story.status(state, seconds, progress=100))
    service.published.clear()
    return answer


def said(answer: httpx.Response) -> str:
    field = answer.headers["warning"]
    assert field.startswith('299 scanstream "')
    return field.removeprefix('299 scanstream "').removesuffix('"')


# --- create (11.4)


@pytest.mark.parametrize(
    "query",
    [WORKITEM, f"workitem={WORKITEM}", f"AffectedSOPInstanceUID={WORKITEM}", f"{WORKITEM}&charset=utf-8", ""],
)
async def test_a_create_says_where_the_workitem_is(
    service: Service, client: httpx.AsyncClient, story: Story, query: str
) -> None:
    body = new_workitem().to_json_dict()
    if not query:
        body["00001000"] = {"vr": "UI", "Value": [WORKITEM]}
    answer = await client.post(f"/workitems?{query}", content=orjson.dumps(body), headers=JSON)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == answer.headers["content-location"] == f"http://api{PATH}"
    assert "warning" not in answer.headers, "it is as it was asked for"
    assert (await client.get(answer.headers["location"])).status_code == 200


async def test_a_create_without_a_uid_is_given_one(client: httpx.AsyncClient, story: Story) -> None:
    answer = await client.post("/workitems", content=as_json(new_workitem()), headers=JSON)
    assert answer.headers["location"].startswith("http://api/workitems/2.25.")
    mistyped = await client.post(f"/workitems?wokitem={WORKITEM}", content=as_json(new_workitem()), headers=JSON)
    assert (mistyped.status_code, "workitem=" in said(mistyped)) == (400, True)


async def test_what_is_not_kept_of_a_new_workitem_is_named_without_its_value(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    given = Dataset()
    given.StudyInstanceUID, given.SeriesInstanceUID, given.TypeOfInstances = UID, f"{UID}.1", "DICOM"
    image = Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", f"{UID}.1.1"
    given.ReferencedSOPSequence = [image]
    answer = await created(
        service,
        client,
        story,
        PatientName="Ґалаґан^Євгенія",
        WorklistLabel="scanstream",
        InputReadinessState="INCOMPLETE",
        InputInformationSequence=[given],
    )
    assert said(answer) == (
        "The Workitem was created with modifications. Not kept as given: PatientName, InputReadinessState, "
        "InputInformationSequence"
    )


async def test_all_images_of_a_series_are_what_is_looked_at(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    [item] = read(await client.get((await created(service, client, story)).headers["location"]))
    again = new_workitem(InputInformationSequence=item.InputInformationSequence)
    answer = await client.post("/workitems?1.2.9", content=as_json(again), headers=JSON)
    assert (answer.status_code, "warning" in answer.headers) == (201, False)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"InputReadinessState": "SOON"}, "must be one of READY, INCOMPLETE, UNAVAILABLE"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "SOP Class UID"),
        ({"ScheduledWorkitemCodeSequence": [code("no-such-model")]}, "no worker has a model"),
        ({"ScheduledWorkitemCodeSequence": [code("110005", "DCM")]}, "workitems for others are not kept here"),
        ({"InputInformationSequence": [new_workitem().InputInformationSequence[0]]}, "send its images"),
    ],
)
async def test_whatever_keeps_a_workitem_from_being_made_is_400(
    service: Service, client: httpx.AsyncClient, story: Story, change: dict[str, Any], expected: str
) -> None:
    item = new_workitem(**change)
    if "images" in expected:
        item.InputInformationSequence[0].StudyInstanceUID = "9.9.9"
        del item.InputInformationSequence[0].SeriesInstanceUID
    answer = await client.post(f"/workitems?{WORKITEM}", content=as_json(item), headers=JSON)
    assert (answer.status_code, service.published) == (400, []), answer.text
    assert expected in said(answer)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("tag", "element"),
    [
        ("00404018", {"vr": "LO", "Value": ["brain-test"]}),
        ("00404021", {"vr": "LO", "Value": ["x"]}),
        ("00741210", {"vr": "SQ", "Value": [{"0040A043": {"vr": "LO", "Value": ["x"]}}]}),
        ("00741200", {"vr": "CS", "Value": ["HIGH", "LOW"]}),
        ("00741200", {"vr": "CS", "Value": [{"Alphabetic": "HIGH"}]}),
        ("00741000", {"vr": "SQ", "Value": [{}]}),
    ],
)
async def test_values_of_another_shape_are_no_error_of_the_server(
    client: httpx.AsyncClient, story: Story, tag: str, element: dict[str, Any]
) -> None:
    body = new_workitem().to_json_dict() | {tag: element}
    answer = await client.post(f"/workitems?{WORKITEM}", content=orjson.dumps(body), headers=JSON)
    assert (answer.status_code, bool(said(answer))) == (400, True), answer.text


async def test_a_uid_that_another_process_took_first_is_409(
    service: Service, client: httpx.AsyncClient, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    await created(service, client, story)
    # the view of this process has not read it yet
    monkeypatch.setattr("dashboards.api.routes.ups.task_of", lambda *_: None)
    for item in (new_workitem(), new_workitem(ScheduledProcedureStepPriority="LOW")):
        answer = await client.post(f"/workitems?{WORKITEM}", content=as_json(item), headers=JSON)
        assert (answer.status_code, "another UID" in said(answer)) == (409, True)


async def test_without_kafka_a_create_may_be_sent_again(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    service.kafka_is_away = True
    answer = await client.post(f"/workitems?{WORKITEM}", content=as_json(new_workitem()), headers=JSON)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "makes no second task" in said(answer)


# --- retrieve and search (11.5, 11.9)


async def test_the_query_may_say_what_is_acceptable(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    await created(service, client, story)
    xml = await client.get(PATH, params={"accept": "application/dicom+xml"})
    assert xml.headers["content-type"] == "application/dicom+xml"
    # who takes parts only gets one part, and who asks for JSON by its other name gets that
    parts = await client.get(PATH, headers={"accept": 'multipart/related; type="application/dicom+xml"'})
    assert parts.headers["content-type"].startswith("multipart/related")
    for path in (PATH, "/workitems"):
        plain = await client.get(path, headers={"accept": "application/json"})
        assert plain.headers["content-type"] == "application/json"
    several = await client.get("/workitems", params={"accept": 'multipart/related; type="application/dicom+xml"'})
    assert several.headers["content-type"].startswith("multipart/related")
    assert (await client.get("/workitems?accept=application/pdf")).status_code == 406
    assert (await client.get("/workitems?charset=utf-8")).status_code == 200
    for path in ("/workitems/9.9", "/workitems/no-uid"):
        assert (await client.get(path)).status_code == 404


async def test_a_search_says_what_it_has_left_out(service: Service, client: httpx.AsyncClient) -> None:
    service.read(*(Story(f"1.{number}").task() for number in range(101)))
    first = await client.get("/workitems")
    assert (len(first.json()), "additional results" in said(first)) == (100, True)
    rest = await client.get("/workitems?offset=100")
    assert (len(rest.json()), "warning" in rest.headers) == (1, False)
    fuzzy = await client.get("/workitems?fuzzymatching=true&limit=200")
    assert (fuzzy.status_code, "Only literal matching has been performed." in said(fuzzy)) == (200, True)
    none = await client.get("/workitems?fuzzymatching=true&ProcedureStepState=COMPLETED")
    assert (none.status_code, "literal" in said(none)) == (204, True)
    assert (await client.get("/workitems?fuzzymatching=maybe")).status_code == 400


async def test_a_final_state_and_its_times_stay_whatever_is_heard_later(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    await created(service, client, story, TaskState.PREPROCESSING, TaskState.FAILED)
    before = read(await client.get(PATH))
    service.read(story.delivered("fhir", 900))
    after = read(await client.get(PATH))
    ends = [
        (
            item.ProcedureStepProgressInformationSequence[0].ProcedureStepCancellationDateTime,
            item.UnifiedProcedureStepPerformedProcedureSequence[0].PerformedProcedureStepEndDateTime,
        )
        for item in (*before, *after)
    ]
    assert ends == [("20260115093004.000000+0000",) * 2] * 2


async def test_a_completed_workitem_does_not_go_back(service: Service, client: httpx.AsyncClient) -> None:
    story = Story(UID)
    service.read(story.task(), story.result(), story.status(TaskState.COMPLETED, 5, progress=100))
    path = (await client.get(f"/v1/tasks/{story.task_id}")).json()["links"]["ups"]
    service.now = story.at(2 * 3600)
    assert read(await client.get(path))[0].ProcedureStepState == "COMPLETED", "nobody says which objects there are"
    service.read(story.delivered("fhir", 2 * 3600 - 1))
    assert read(await client.get(path))[0].ProcedureStepState == "COMPLETED"


async def test_what_nobody_began_has_nothing_that_was_performed(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    await created(service, client, story, TaskState.CANCELLED)
    [item] = read(await client.get(PATH))
    assert item.ProcedureStepState == "CANCELED"
    assert "UnifiedProcedureStepPerformedProcedureSequence" not in item


# --- update (11.6)


@pytest.mark.parametrize(
    ("states", "query", "status", "sentence"),
    [
        ((), "", 200, ""),
        ((TaskState.INFERRING,), "", 400, "The Transaction UID is missing."),
        ((TaskState.INFERRING,), f"?{LOCK}", 400, "The Transaction UID is incorrect."),
        ((TaskState.INFERRING,), f"?transaction-uid={LOCK}", 400, "The Transaction UID is incorrect."),
        ((TaskState.CANCELLED,), "", 400, "The submitted request is inconsistent with the current state"),
    ],
)
async def test_an_update_is_for_whoever_may(
    service: Service,
    client: httpx.AsyncClient,
    story: Story,
    states: tuple[TaskState, ...],
    query: str,
    status: int,
    sentence: str,
) -> None:
    await created(service, client, story, *states, ScheduledProcedureStepPriority="LOW")
    change = Dataset()
    change.ScheduledProcedureStepPriority = "HIGH"
    answer = await client.post(f"{PATH}{query}", content=as_json(change), headers=JSON)
    assert (answer.status_code, len(service.published)) == (status, int(status == 200)), answer.text
    if sentence:
        assert said(answer).startswith(sentence)


async def test_a_less_urgent_priority_is_refused_with_a_warning(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    await created(service, client, story)
    change = Dataset()
    change.ScheduledProcedureStepPriority = "LOW"
    answer = await client.post(PATH, content=as_json(change), headers=JSON)
    assert (answer.status_code, "more urgent" in said(answer)) == (409, True)


# --- change state (11.7)


@pytest.mark.parametrize(
    ("states", "wanted", "lock", "status", "sentence"),
    [
        (
            (),
            "IN PROGRESS",
            LOCK,
            409,
            INCONSISTENT,
        ),
        ((), "CANCELED", LOCK, 409, INCONSISTENT),
        ((), "IN PROGRESS", "", 400, "The Transaction UID is missing."),
        ((), "SCHEDULED", LOCK, 400, "Procedure Step State (0074,1000) must be"),
        ((TaskState.INFERRING,), "COMPLETED", LOCK, 400, "The Transaction UID is incorrect."),
        ((TaskState.INFERRING,), "IN PROGRESS", LOCK, 409, INCONSISTENT),
        ((TaskState.FAILED,), "COMPLETED", LOCK, 409, INCONSISTENT),
        ((TaskState.FAILED,), "CANCELED", LOCK, 200, "The UPS is already in the requested state of CANCELED."),
    ],
)
async def test_a_change_of_state_is_answered_with_the_sentence_of_the_standard(
    service: Service,
    client: httpx.AsyncClient,
    story: Story,
    states: tuple[TaskState, ...],
    wanted: str,
    lock: str,
    status: int,
    sentence: str,
) -> None:
    await created(service, client, story, *states)
    change = Dataset()
    change.ProcedureStepState, change.TransactionUID = wanted, lock
    answer = await client.put(f"{PATH}/state", content=as_json(change), headers=JSON)
    assert (answer.status_code, said(answer)[: len(sentence)]) == (status, sentence), answer.text
    assert service.published == []


# --- any transaction with a body, and subscriptions (11.10)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/workitems"), ("POST", PATH), ("PUT", f"{PATH}/state"), ("POST", f"{PATH}/cancelrequest")],
)
async def test_another_media_type_is_415_and_an_unknown_workitem_404(
    client: httpx.AsyncClient, story: Story, method: str, path: str
) -> None:
    answer = await client.request(method, path, content=b"x", headers={"content-type": "text/plain"})
    assert (answer.status_code, "application/dicom+json" in said(answer)) == (415, True)
    broken = await client.request(method, path, content=b"{", headers=JSON)
    assert (broken.status_code, "DICOM JSON" in said(broken)) == (400, True)
    if path != "/workitems":
        unknown = await client.request(method, path, content=b"{}", headers=JSON)
        assert (unknown.status_code, "no workitem" in said(unknown)) == (404, True)
    assert (await client.request("PATCH", path)).status_code == 405


async def test_subscriptions_say_what_is_not_granted(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    await created(service, client, story)
    locked = await client.post(f"{PATH}/subscribers/CT%20%3F1?deletionlock=true")
    assert (locked.status_code, said(locked)) == (201, "Deletion Lock not granted.")
    assert locked.headers["content-location"] == "ws://api/subscribers/CT%20%3F1"
    plain = await client.post(f"{PATH}/subscribers/RIS?deletionlock=false")
    assert (plain.status_code, "warning" in plain.headers) == (201, False)
    wrong = await client.post(f"{PATH}/subscribers/RIS?deletionlock=maybe")
    assert (wrong.status_code, "true or false" in said(wrong)) == (400, True)
    for path in (f"{PATH}/subscribers/NOBODY", "/workitems/9.9/subscribers/RIS"):
        answer = await client.delete(path)
        assert (answer.status_code, "no such subscription" in said(answer)) == (404, True)
    only_some = await client.post(f"{PATH}/subscribers/RIS/suspend")
    assert (only_some.status_code, "delete it instead" in said(only_some)) == (400, True)
