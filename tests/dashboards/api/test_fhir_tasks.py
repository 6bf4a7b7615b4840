"""Inference tasks as FHIR Tasks: ordered, followed and cancelled there, and one with what the writer stores."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from dashboards.fhir import tasks
from schemas.events import CommandKind, Event, InferenceTask, TaskCommand, TaskState
from schemas.topics import Priority, Topic
from tests.consumers.fhir.validators import conformance_errors, structure_errors
from tests.dashboards.api.conftest import Service
from tests.dashboards.fleet import heartbeat, study
from tests.dashboards.story import MODEL, START, Story

UID = "1.2.3"
MODEL_SYSTEM, PARAMETER = "urn:scanstream:model", "urn:scanstream:ai-task-parameter"
PATCH = {"content-type": "application/json-patch+json"}


def order(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "identifier": [{"system": "urn:ris", "value": "A-17"}],
        "priority": "stat",
        "code": {"coding": [{"system": MODEL_SYSTEM, "code": MODEL}]},
        "focus": {"type": "ImagingStudy", "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{UID}"}},
        "input": [
            _input("confidence-threshold", valueDecimal=0.6),
            _input("output-format", valueString="sr"),
            _input("indication", valueString="Ґ"),
        ],
        **more,
    }


def _input(code: str, **value: Any) -> dict[str, Any]:
    return {"type": {"coding": [{"system": PARAMETER, "code": code}]}, **value}


def errors(resource: dict[str, Any]) -> list[str]:
    return structure_errors(resource) + conformance_errors(resource)


@pytest.fixture
def story(service: Service) -> Story:
    story = Story(UID)
    service.read(study(story), heartbeat(service.now))
    return story


async def test_an_order_becomes_a_task_once(service: Service, client: httpx.AsyncClient, story: Story):
    answer = await client.post("/fhir/Task", json=order())
    assert answer.status_code == 201, answer.text
    task = answer.json()
    assert errors(task) == []
    assert (task["status"], task["priority"], task["intent"]) == ("requested", "stat", "order")
    assert answer.headers["location"] == f"http://api/fhir/Task/{task['id']}/_history/{task['meta']['versionId']}"
    assert (await client.get(answer.headers["location"])).json() == task
    ((topic, _, made), _) = service.published
    assert isinstance(made, InferenceTask)
    assert (topic, made.requested_by, made.indication) == (Topic.TASKS_P1, "fhir", "Ґ")
    assert made.task_id == task["id"]
    again = await client.post("/fhir/Task", json=order(), headers={"if-none-exist": "identifier=urn:ris|A-17"})
    assert (again.status_code, again.json()["id"]) == (200, task["id"])
    other = await client.post("/fhir/Task", json=order(priority="routine"))
    assert (other.status_code, other.json()["resourceType"]) == (422, "OperationOutcome")
    assert other.json()["issue"][0]["expression"] == ["Task.identifier"]
    assert len(service.published) == 2
    assert (await client.get(f"/v1/tasks/{task['id']}")).json()["links"]["fhir"].endswith(f"/Task/{task['id']}")


@pytest.mark.parametrize(
    ("change", "status", "where"),
    [
        ({"status": "completed"}, 422, "Task.status"),
        ({"intent": "plan"}, 422, "Task.status"),
        ({"code": {"text": MODEL}}, 422, "Task.code"),
        ({"focus": {"reference": "ImagingStudy/1"}}, 422, "Task.focus"),
        ({"priority": "soon"}, 422, "Task.priority"),
        ({"input": [_input("colour", valueString="red")]}, 422, "Task.input[0].type"),
        ({"input": [_input("confidence-threshold", valueString="0.6")]}, 422, "Task.input[0]"),
        ({"input": ["x"]}, 422, "Task.input[0].type"),
        ({"focus": {"identifier": {"value": "urn:oid:9.9"}}}, 422, "Task.focus"),
        ({"code": {"coding": [{"system": MODEL_SYSTEM, "code": "unknown"}]}}, 422, "Task.code"),
        ({"input": [_input("callback-url", valueUrl="https://10.0.0.1/")]}, 422, "Task.input"),
        ({"input": [_input("model-version", valueString="99")]}, 422, "Task.input"),
        ({"priority": ["stat"]}, 422, "Task.priority"),
        ({"input": [{"type": {"coding": [{"system": PARAMETER, "code": {}}]}}]}, 422, "Task.input[0].type"),
        ({"resourceType": "Device"}, 400, "Task"),
    ],
)
async def test_a_wrong_order_is_refused_with_its_place(
    service: Service,
    client: httpx.AsyncClient,
    story: Story,
    change: dict[str, Any],
    status: int,
    where: str | None,
):
    answer = await client.post("/fhir/Task", json=order() | change)
    assert answer.status_code == status, answer.text
    outcome = answer.json()
    assert structure_errors(outcome) == []
    assert outcome["issue"][0].get("expression", [None]) == [where]
    assert service.published == []


async def test_every_state_is_a_conformant_task(service: Service, client: httpx.AsyncClient):
    seen = list[tuple[str, str]]()
    story, held, failed = Story(UID), Story("1.5"), Story("1.6")
    events: list[Event] = [*story.whole()[1:], held.task(), held.status(TaskState.RETRY_WAIT, 3)]
    events += [failed.task(), failed.status(TaskState.INFERRING, 3), failed.status(TaskState.FAILED, 4)]
    for event in events:
        service.read(event)
        task_id = event.task_id  # type: ignore[union-attr] # all of them are of a task
        task = (await client.get(f"/fhir/Task/{task_id}")).json()
        assert errors(task) == [], task
        pair = (task["status"], task["businessStatus"]["coding"][0]["code"])
        if pair not in seen:
            seen.append(pair)
    assert seen == [
        ("requested", "queued"),
        ("in-progress", "preprocessing"),
        ("in-progress", "inferring"),
        ("in-progress", "postprocessing"),
        ("completed", "completed"),
        ("completed", "delivered"),
        ("ready", "retry-wait"),
        ("failed", "failed"),
    ]
    task = (await client.get(f"/fhir/Task/{story.task_id}")).json()
    assert len(task["output"]) == 3
    await client.post(f"/v1/tasks/{held.task_id}/hold", json={"reason": "the patient moves"})
    task = (await client.get(f"/fhir/Task/{held.task_id}")).json()
    assert (task["status"], errors(task)) == ("on-hold", [])


async def test_a_client_may_cancel_hold_and_release_but_not_complete(
    service: Service, client: httpx.AsyncClient, story: Story
):
    first = await client.post("/fhir/Task", json=order(priority="routine"))
    task, path = first.json(), f"/fhir/Task/{first.json()['id']}"
    service.published.clear()
    service.now = service.now.replace(second=30)
    illegal = await client.put(path, json=task | {"status": "completed"})
    assert (illegal.status_code, illegal.json()["issue"][0]["code"]) == (422, "business-rule")
    wrong = await client.put(path, json=task | {"status": "on-hold"}, headers={"if-match": 'W/"live-1"'})
    assert wrong.status_code == 412
    held = await client.put(path, json=task | {"status": "on-hold"}, headers={"if-match": first.headers["etag"]})
    assert (held.status_code, held.json()["status"]) == (200, "on-hold")
    assert held.headers["etag"] != first.headers["etag"]
    stale = await client.put(path, json=task | {"status": "ready"}, headers={"if-match": first.headers["etag"]})
    assert stale.status_code == 412
    steps = [
        {"op": "test", "path": "/status", "value": "on-hold"},
        {"op": "replace", "path": "/status", "value": "ready"},
    ]
    assert (await client.patch(path, json=steps, headers=PATCH)).json()["status"] == "requested"
    assert (await client.patch(path, json=steps, headers=PATCH)).status_code == 412
    assert (await client.patch(path, json=[{"op": "remove", "path": "/focus"}], headers=PATCH)).status_code == 422
    urgent = await client.patch(
        path, json=[{"op": "replace", "path": "/priority", "value": "stat"}], headers=PATCH
    )
    assert urgent.json()["priority"] == "stat"
    cancel = [
        {"op": "replace", "path": "/status", "value": "cancelled"},
        {"op": "add", "path": "/statusReason/text", "value": "wrong side"},
    ]
    cancelled = await client.patch(path, json=cancel, headers=PATCH)
    assert cancelled.json()["businessStatus"]["coding"][0]["code"] == "cancel-requested"
    told = [event for _, _, event in service.published if isinstance(event, TaskCommand)]
    assert [(one.kind, one.actor) for one in told] == [
        (CommandKind.HOLD, "fhir"),
        (CommandKind.RELEASE, "fhir"),
        (CommandKind.UPGRADE, "fhir"),
        (CommandKind.CANCEL, "fhir"),
    ]
    assert (told[2].priority, told[3].reason) == (Priority.P1_EMERGENCY, "wrong side")
    assert (await client.put("/fhir/Task/none", json=task | {"id": "none"})).status_code == 404


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ("*", 200),
        ("{}", 200),
        ('W/"other", {}', 200),
        ('W/"other"', 412),
        ("", 412),
    ],
)
async def test_a_change_may_be_bound_to_versions(
    client: httpx.AsyncClient, story: Story, condition: str, status: int
) -> None:
    made = await client.post("/fhir/Task", json=order(priority="routine"))
    assert made.headers["last-modified"].endswith(" GMT")
    condition = condition.format(made.headers["etag"])
    path, held = f"/fhir/Task/{made.json()['id']}", made.json() | {"status": "on-hold"}
    answer = await client.put(path, json=held, headers={"if-match": condition})
    assert answer.status_code == status


async def test_a_reason_in_codes_is_told_by_its_meaning(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    task = (await client.post("/fhir/Task", json=order())).json()
    codes = [{"system": "urn:x", "code": "1", "display": "Duplicate order"}, {"code": "2"}, "x", {"display": 7}]
    wanted = task | {"status": "cancelled", "statusReason": {"coding": codes}}
    assert (await client.put(f"/fhir/Task/{task['id']}", json=wanted)).status_code == 200
    command = service.published[-1][2]
    assert isinstance(command, TaskCommand)
    assert command.reason == "Duplicate order"


async def test_a_task_is_never_deleted(client: httpx.AsyncClient, story: Story) -> None:
    path = f"/fhir/Task/{(await client.post('/fhir/Task', json=order())).json()['id']}"
    answer = await client.delete(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, PUT, PATCH")
    assert "cancelled" in answer.json()["issue"][0]["diagnostics"]
    assert (await client.delete("/fhir/Task/none")).status_code == 404
    assert (await client.get(path)).status_code == 200
    broken = await client.post("/fhir/Task", content=b"{", headers={"content-type": "application/fhir+json"})
    assert (broken.status_code, "send one resource" in broken.json()["issue"][0]["diagnostics"]) == (400, True)


@pytest.mark.parametrize("priority", [["stat"], {"code": "stat"}, 7])
async def test_a_priority_that_is_no_text_is_refused(
    service: Service, client: httpx.AsyncClient, story: Story, priority: object
) -> None:
    task = (await client.post("/fhir/Task", json=order(priority="routine"))).json()
    service.published.clear()
    path, steps = f"/fhir/Task/{task['id']}", [{"op": "replace", "path": "/priority", "value": priority}]
    assert (await client.put(path, json=task | {"priority": priority})).status_code == 422
    assert (await client.patch(path, json=steps, headers=PATCH)).status_code == 422
    assert service.published == []


async def test_the_writers_task_takes_the_place_of_the_one_from_the_log(
    service: Service, client: httpx.AsyncClient
):
    done, open_ = Story(UID), Story("1.5")
    service.read(*done.whole(), open_.task())
    query = f"/fhir/Task?identifier=urn:scanstream:task-id%7C{done.task_id}"
    [entry] = (await client.get(query)).json()["entry"]
    live = entry["resource"]
    # as the writer does: what it has seen is updated under the version that it has seen
    mine = live | {
        "businessStatus": {"coding": [{"system": "x", "code": "delivered"}]},
        "for": {"display": "somebody"},
    }
    put = {"method": "PUT", "url": f"Task/{done.task_id}", "ifMatch": f'W/"{live["meta"]["versionId"]}"'}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": mine, "request": put}]}
    first = await client.post("/fhir", json=bundle)
    assert first.json()["entry"][0]["response"]["status"] == "201 Created"
    assert (await client.post("/fhir", json=bundle)).status_code == 412
    # and where it saw nothing, it makes the same one
    create = {"method": "POST", "url": "Task", "ifNoneExist": f"identifier=urn:scanstream:task-id|{done.task_id}"}
    same = {**bundle, "entry": [{"resource": {k: v for k, v in mine.items() if k != "id"}, "request": create}]}
    assert (await client.post("/fhir", json=same)).json()["entry"][0]["response"]["status"] == "200 OK"
    [entry] = (await client.get(query)).json()["entry"]
    assert entry["resource"]["meta"]["versionId"] == "1"
    assert entry["resource"]["for"] == {"display": "somebody"}
    assert (await client.get(f"/fhir/Task/{done.task_id}")).json() == entry["resource"]
    late = await client.put(f"/fhir/Task/{done.task_id}", json=entry["resource"] | {"status": "cancelled"})
    assert late.status_code == 409
    everything = (await client.get("/fhir/Task")).json()
    assert everything["total"] == 2
    assert structure_errors(everything) == []
    ids = [entry["resource"]["id"] for entry in everything["entry"]]
    assert sorted(ids) == sorted([done.task_id, open_.task_id])


async def test_searches_find_tasks_by_what_they_are(service: Service, client: httpx.AsyncClient):
    for number in range(5):
        story = Story(f"1.{number}", Priority.P1_EMERGENCY if number % 2 else Priority.P4_ROUTINE)
        service.read(story.task())
    service.read(Story("1.3").status(TaskState.INFERRING, 3))

    async def found(query: str) -> list[str]:
        answer = (await client.get(f"/fhir/Task?{query}")).json()
        assert structure_errors(answer) == []
        return sorted(
            entry["resource"]["focus"]["identifier"]["value"].removeprefix("urn:oid:")
            for entry in answer.get("entry", [])
        )

    assert await found("status=in-progress") == ["1.3"]
    assert await found("status=requested&_count=100") == ["1.0", "1.1", "1.2", "1.4"]
    assert await found("business-status=inferring,queued") == ["1.0", "1.1", "1.2", "1.3", "1.4"]
    assert await found("focus:identifier=urn:dicom:uid%7Curn:oid:1.4") == ["1.4"]
    assert await found(f"code={MODEL_SYSTEM}%7C{MODEL}&status=in-progress") == ["1.3"]
    assert await found(f"_id={Story('1.2').task_id}") == ["1.2"]
    assert await found("status=completed") == []
    assert (await client.get("/fhir/Task?_summary=count")).json()["total"] == 5
    assert (await client.get("/fhir/Task?colour=red")).status_code == 400
    url, seen = "/fhir/Task?_count=2", list[str]()
    while url:
        page = (await client.get(url)).json()
        seen += [entry["resource"]["id"] for entry in page.get("entry", [])]
        url = {link["relation"]: link["url"] for link in page["link"]}.get("next", "")
    assert len(seen) == len(set(seen)) == 5


async def test_pages_of_a_search_hold_each_match_once(service: Service, client: httpx.AsyncClient) -> None:
    """Several are made in the same millisecond, at the end of a page and of what is matched at a time."""
    for number in range(240):
        story = Story(f"1.{number}", start=START + timedelta(seconds=number // 7))
        service.read(story.task(), *([story.status(TaskState.INFERRING, 3)] if number % 3 else []))
    url, seen = "/fhir/Task?status=in-progress&_count=11", list[str]()
    while url:
        page = (await client.get(url)).json()
        seen += [entry["resource"]["focus"]["identifier"]["value"] for entry in page.get("entry", [])]
        url = {link["relation"]: link["url"] for link in page["link"]}.get("next", "")
    assert sorted(seen) == sorted(f"urn:oid:1.{number}" for number in range(240) if number % 3)


@pytest.mark.parametrize("wanted", [{137}, {3, 137, 140, 230}, {230}, set(range(135, 144))])
async def test_a_search_that_looks_at_many_tasks_for_few_passes_none_over_that_were_made_together(
    service: Service, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, wanted: set[int]
) -> None:
    monkeypatch.setattr(tasks, "_MOST", 100)
    for number in range(240):
        # those that are looked at for the first page end with 140, and 135 to 143 were made together
        story = Story(f"1.{number}", start=START + timedelta(seconds=number // 9))
        service.read(story.task(), *([story.status(TaskState.INFERRING, 3)] if number in wanted else []))
    url, seen = "/fhir/Task?status=in-progress&_count=2", list[str]()
    while url:
        page = (await client.get(url)).json()
        seen += [entry["resource"]["focus"]["identifier"]["value"] for entry in page.get("entry", [])]
        url = {link["relation"]: link["url"] for link in page["link"]}.get("next", "")
    assert sorted(seen) == sorted(f"urn:oid:1.{number}" for number in wanted)


@pytest.mark.parametrize("priority", ["routine", None])
async def test_the_class_below_normal_is_asked_for_by_its_name(
    service: Service, client: httpx.AsyncClient, story: Story, priority: str | None
) -> None:
    wanted = order(input=[_input("priority-class", valueCode="p4-routine")], priority=priority)
    answer = await client.post("/fhir/Task", json={name: one for name, one in wanted.items() if one is not None})
    assert answer.status_code == 201, answer.text
    (topic, _, task), _ = service.published
    assert isinstance(task, InferenceTask)
    assert (topic, task.priority) == (Topic.TASKS_P4, Priority.P4_ROUTINE)
    shown = answer.json()
    assert errors(shown) == []
    assert shown["priority"] == "routine"
    assert _input("priority-class", valueCode="p4-routine") in shown["input"]


@pytest.mark.parametrize(
    ("priority", "given", "said"),
    [
        ("stat", {"valueCode": "p4-routine"}, "leave one out"),
        ("routine", {"valueCode": "p5"}, "none of p1-emergency"),
        ("routine", {"valueCode": ["p4-routine"]}, "none of p1-emergency"),
    ],
)
async def test_a_class_that_contradicts_the_priority_is_refused(
    service: Service, client: httpx.AsyncClient, story: Story, priority: str, given: dict[str, Any], said: str
) -> None:
    answer = await client.post(
        "/fhir/Task", json=order(priority=priority, input=[_input("priority-class", **given)])
    )
    (issue,) = answer.json()["issue"]
    assert (answer.status_code, issue["expression"]) == (422, ["Task.input[0]"])
    assert said in issue["diagnostics"]
    assert service.published == []


async def test_a_total_is_of_all(service: Service, client: httpx.AsyncClient) -> None:
    service.read(*(Story(f"1.{number}").task() for number in range(1_050)))
    counted = await client.get("/fhir/Task?status=requested&_summary=count")
    assert counted.json()["total"] == 1_050
