"""Inference asked for over REST: taken once, refused with a reason, followed, and steered."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from schemas.codec import Codec
from schemas.events import (
    CommandKind,
    EligibilityDecision,
    InferenceTask,
    TaskCommand,
    TaskState,
    TaskStatus,
    VersionState,
)
from schemas.topics import Priority, Topic
from tests.dashboards.api.conftest import Service
from tests.dashboards.fleet import heartbeat, study
from tests.dashboards.story import MODEL, START, Story

PROBLEM = "application/problem+json"
UID = "1.2.3"


@pytest.fixture
def story(service: Service) -> Story:
    story = Story(UID)
    service.read(study(story), heartbeat(service.now))
    return story


def body(**more: Any) -> dict[str, Any]:
    return {"study_instance_uid": UID, "model": MODEL, **more}


def tasks(service: Service) -> list[InferenceTask]:
    return [event for _, _, event in service.published if isinstance(event, InferenceTask)]


async def test_a_task_is_durable_on_its_topic_before_the_answer(
    service: Service, client: httpx.AsyncClient, story: Story
):
    asked = body(
        priority="p2-urgent",
        callback_url="https://ris.example.org/hook?x=1",
        parameters={"confidence_threshold": 0.6, "output_formats": ["sr", "seg"], "include_heatmaps": True},
        clinical_context={"indication": " Гострий біль, Ґ ", "patient_age_years": 65},
    )
    answer = await client.post("/v1/inference", json=asked)
    assert answer.status_code == 202, answer.text
    said = answer.json()
    (topic, key, task), (status_topic, status_key, status) = service.published
    assert isinstance(task, InferenceTask)
    assert isinstance(status, TaskStatus)
    assert (topic, key, status_topic, status_key) == (Topic.TASKS_P2, UID, Topic.STATUS, task.task_id)
    assert (status.state, status.progress) == (TaskState.QUEUED, 0)
    assert task == Codec().decode(Codec().encode(task))
    assert [one.series_instance_uid for one in task.series] == [f"{UID}.1", f"{UID}.2"], "a report is no image"
    assert (task.patient_key, task.patient_age_years, task.indication) == ("key", 65, "Гострий біль, Ґ")
    assert task.parameters is not None
    assert task.parameters.output_formats == ("sr", "seg")
    assert task.deadline == service.now + timedelta(seconds=120)
    assert said["task_id"] == task.task_id
    assert (said["status"], said["waiting_for"], said["queue_position"]) == ("queued", "worker", 1)
    assert said["estimated_completion"] is None, "the model has not been seen running"
    assert answer.headers["location"] == said["links"]["self"] == f"http://api/v1/tasks/{task.task_id}"
    for name in ("self", "events"):
        assert said["links"][name].startswith("http://api/v1/tasks/")
    assert (await client.get(said["links"]["self"])).json() == said | {"remarks": []}


async def test_one_key_is_one_task_and_another_request_under_it_is_refused(
    service: Service, client: httpx.AsyncClient, story: Story
):
    key = {"idempotency-key": "order 17"}
    first = await client.post("/v1/inference", json=body(), headers=key)
    again = await client.post("/v1/inference", json=body(), headers=key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["task_id"] == again.json()["task_id"]
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")
    assert len(tasks(service)) == 1
    assert "order 17" not in repr(service.published), "the requester's identifier may be a patient's number"
    # a new revision in between changes nothing
    service.read(replace(study(story), revision=2))
    assert (await client.post("/v1/inference", json=body(), headers=key)).json()["task_id"] == first.json()[
        "task_id"
    ]
    other = await client.post("/v1/inference", json=body(priority="p1-emergency"), headers=key)
    assert (other.status_code, other.headers["content-type"]) == (422, PROBLEM)
    assert first.json()["task_id"] in other.json()["detail"]
    without = await client.post("/v1/inference", json=body())
    assert without.json()["task_id"] != first.json()["task_id"]
    assert len(tasks(service)) == 2


async def test_what_kafka_did_not_take_is_repaired_by_the_same_request(
    service: Service, client: httpx.AsyncClient, story: Story
):
    key = {"idempotency-key": "order 18"}
    service.kafka_is_away = True
    away = await client.post("/v1/inference", json=body(), headers=key)
    assert (away.status_code, away.headers["retry-after"]) == (503, "5")
    service.kafka_is_away = False
    assert (await client.post("/v1/inference", json=body(), headers=key)).status_code == 202
    assert len(tasks(service)) == 1


async def test_a_series_is_enough(service: Service, client: httpx.AsyncClient, story: Story):
    answer = await client.post("/v1/inference", json={"series_instance_uid": f"{UID}.2", "model": MODEL})
    assert answer.status_code == 202
    assert answer.json()["series_instance_uids"] == [f"{UID}.2"]
    assert answer.json()["study_instance_uid"] == UID


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"study_instance_uid": "9.9"}, 404, "no study 9.9 is known"),
        ({"series_instance_uids": ["9.9.1"], "study_instance_uid": None}, 404, "no series 9.9.1 is known"),
        ({"series_instance_uids": [f"{UID}.77"]}, 404, f"has no series {UID}.77"),
        ({"series_instance_uids": [f"{UID}.3"]}, 422, "none of the series has images"),
        ({"model": "unknown"}, 422, f"those that they have are {MODEL}"),
        ({"model_version": "77"}, 422, "no worker has version '77'"),
        ({"model": "no such|model"}, 422, "body.model"),
        ({"callback_url": "https://evil.example.org/"}, 422, "are not allowed"),
        ({"callback_url": "https://inside.example.org/"}, 422, "not of the open internet"),
        ({"callback_url": "http://ris.example.org/"}, 422, "without TLS"),
        ({"callback_url": "https://169.254.169.254/latest"}, 422, "are not allowed"),
        ({"callback_url": "https://user:secret@ris.example.org/"}, 422, "user name or password"),
        ({"callback_url": "file:///etc/passwd"}, 422, "no http or https URL"),
        ({"callback_url": "https://away.example.org/"}, 503, "cannot be resolved"),
        ({"parameters": {"confidence_threshold": 1.5}}, 422, "confidence_threshold"),
        ({"parameters": {"confidence_threshold": 0}}, 422, "confidence_threshold"),
        ({"parameters": {"output_formats": ["gif"]}}, 422, "output_formats"),
        ({"clinical_context": {"patient_name": "Somebody"}}, 422, "patient_name"),
        ({"clinical_context": {"patient_age_years": 900}}, 422, "patient_age_years"),
        ({"priority": "now"}, 422, "priority"),
        ({"study_instance_uid": None}, 422, "name study_instance_uid"),
        ({"study_instance_uid": "1.2.3 OR 1=1"}, 422, "study_instance_uid"),
        ({"unknown_field": 1}, 422, "unknown_field"),
    ],
)
async def test_what_cannot_be_done_is_refused_with_the_reason(
    service: Service, client: httpx.AsyncClient, story: Story, asked: dict[str, Any], status: int, said: str
):
    answer = await client.post("/v1/inference", json=body() | asked)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    assert said in answer.json()["detail"]
    assert service.published == []


async def test_which_models_there_are_is_said_by_nodes(service: Service, client: httpx.AsyncClient):
    service.read(study(Story(UID)))
    nobody = await client.post("/v1/inference", json=body())
    assert (nobody.status_code, "no worker is alive" in nobody.json()["detail"]) == (422, True)

    refused = heartbeat(service.now, "worker-2", "broken", state=VersionState.REFUSED, reason="wrong on case 3")
    gone = heartbeat(service.now - timedelta(minutes=10), "worker-3")
    service.read(refused, gone)
    broken = await client.post("/v1/inference", json=body(model="broken"))
    assert (broken.status_code, "wrong on case 3" in broken.json()["detail"]) == (422, True)
    # whoever had it is gone, and may come back: the log keeps the task
    waiting = await client.post("/v1/inference", json=body())
    assert (waiting.status_code, waiting.json()["estimated_completion"]) == (202, None)
    assert "is alive now" in waiting.json()["remarks"][0]

    models = {one["name"]: one for one in (await client.get("/v1/models")).json()["models"]}
    assert (models[MODEL]["available"], models["broken"]["available"]) == (False, False)
    assert models["broken"]["versions"][0]["reason"] == "wrong on case 3"
    nodes = (await client.get("/v1/nodes")).json()["nodes"]
    assert [(one["node"], one["alive"]) for one in nodes] == [("worker-2", True), ("worker-3", False)]
    assert (await client.get("/v1/models/none")).status_code == 404
    service.read(heartbeat(service.now, "worker-3"))
    assert (await client.get(f"/v1/models/{MODEL}")).json()["available"] is True


async def test_the_line_is_by_class_and_age_and_the_estimate_by_what_was_seen(
    service: Service, client: httpx.AsyncClient, story: Story
):
    done = Story("1.9")
    for event in done.whole():
        service.read(event)  # fetch 120 ms and inference 900 ms
    for number, priority in enumerate((Priority.P4_ROUTINE, Priority.P3_NORMAL, Priority.P1_EMERGENCY)):
        service.read(replace(Story(f"1.1{number}", priority).task(), priority=priority))
    said = (await client.post("/v1/inference", json=body(priority="p3-normal"))).json()
    assert said["queue_position"] == 3, "after the emergency and the older one of its class"
    assert said["estimated_completion"] == "2026-01-15T09:31:03.060000Z", "three runs of 1.02 s on one node"
    service.read(heartbeat(service.now, "worker-2"))
    said = (await client.get(said["links"]["self"])).json()
    assert said["estimated_completion"] == "2026-01-15T09:31:02.040000Z"
    held = (await client.post(said["links"]["self"] + "/hold")).json()
    assert (held["waiting_for"], held["queue_position"], held["estimated_completion"]) == ("release", None, None)


async def test_commands_are_told_once(service: Service, client: httpx.AsyncClient, story: Story):
    url = (await client.post("/v1/inference", json=body(priority="p3-normal"))).json()["links"]["self"]
    service.published.clear()
    for action in ("hold", "hold", "release", "release", "hold"):
        assert (await client.post(f"{url}/{action}", json={"actor": "o.koval"})).status_code == 202
    up = await client.post(f"{url}/upgrade", json={"priority": "p1-emergency", "actor": "o.koval"})
    assert (up.status_code, up.json()["priority"]) == (202, "p1-emergency")
    down = await client.post(f"{url}/upgrade", json={"priority": "p4-routine"})
    assert (down.status_code, "more urgent" in down.json()["detail"]) == (409, True)
    for _ in range(2):
        cancelled = await client.post(f"{url}/cancel", json={"actor": "o.koval", "reason": "wrong patient side"})
        assert (cancelled.status_code, cancelled.json()["cancel_requested"]) == (202, True)
        assert cancelled.json()["status"] == "queued", "it is cancelled when its worker says so"
    told = [event for topic, _, event in service.published if topic is Topic.COMMANDS]
    assert all(isinstance(event, TaskCommand) for event in told)
    assert [event.kind for event in told if isinstance(event, TaskCommand)] == [
        CommandKind.HOLD,
        CommandKind.RELEASE,
        CommandKind.HOLD,
        CommandKind.UPGRADE,
        CommandKind.CANCEL,
    ]
    assert len({event.event_id for event in told}) == 5
    times = [event.occurred_at for event in told]
    assert times == sorted(times)


async def test_an_upgrade_is_not_undone_by_a_status_of_before(service: Service, client: httpx.AsyncClient):
    story = Story(UID)
    service.read(story.task(), story.status(TaskState.QUEUED, 2.1))
    await client.post(f"/v1/tasks/{story.task_id}/upgrade", json={"priority": "p1-emergency"})
    service.read(story.status(TaskState.PREPROCESSING, 3))
    said = (await client.get(f"/v1/tasks/{story.task_id}")).json()
    assert (said["status"], said["priority"]) == ("preprocessing", "p1-emergency")


async def test_a_task_that_has_finished_takes_no_commands(service: Service, client: httpx.AsyncClient):
    story = Story(UID)
    service.read(*story.whole())
    for action in ("cancel", "hold", "release"):
        answer = await client.post(f"/v1/tasks/{story.task_id}/{action}")
        assert (answer.status_code, "completed" in answer.json()["detail"]) == (409, True)
    assert (await client.post("/v1/tasks/none/cancel")).status_code == 404
    assert service.published == []


async def test_results_of_every_end(service: Service, client: httpx.AsyncClient):
    story, waits = Story(UID), Story("1.5")
    service.read(*story.whole(), waits.task(), waits.status(TaskState.RETRY_WAIT, 9))
    results = (await client.get(f"/v1/tasks/{story.task_id}/results")).json()
    assert results["result"]["findings"][0]["measurements"][0]["value"] == 1172.44
    assert [one["name"] for one in results["objects"]] == ["DiagnosticReport", "SEG", "SR"]
    early = await client.get(f"/v1/tasks/{waits.task_id}/results")
    assert (early.status_code, "is queued: wait" in early.json()["detail"]) == (409, True)
    said = (await client.get(f"/v1/tasks/{waits.task_id}")).json()
    assert (said["status"], said["waiting_for"], said["queue_position"]) == ("queued", "retry", None)
    assert (await client.get("/v1/tasks/none/results")).status_code == 404


async def test_pages_give_each_task_once_while_tasks_come_and_move(service: Service, client: httpx.AsyncClient):
    stories = [Story(f"1.{n}", list(Priority)[n % 4], START + timedelta(seconds=n // 3)) for n in range(30)]
    for story in stories:
        service.read(story.task())
    url, seen, page = "/v1/tasks?limit=7", list[str](), 0
    while url:
        answer = (await client.get(url)).json()
        seen += [task["task_id"] for task in answer["tasks"]]
        url, page = answer["next"], page + 1
        service.read(Story(f"2.{page}", start=START + timedelta(hours=1)).task())
        service.read(stories[page].status(TaskState.INFERRING, 9))
    assert sorted(seen) == sorted(story.task_id for story in stories)
    inferring = (await client.get("/v1/tasks?status=inferring&limit=500")).json()
    assert len(inferring["tasks"]) == page
    one = (await client.get("/v1/tasks", params={"study": "1.4", "priority": "p1-emergency"})).json()
    assert [task["study_instance_uid"] for task in one["tasks"]] == ["1.4"]
    none = await client.get("/v1/tasks", params={"created_before": "2026-01-01T00:00:00Z"})
    assert none.json() == {"tasks": [], "next": None}
    assert (await client.get("/v1/tasks?model=none")).json()["tasks"] == []
    for wrong in ("cursor=%00", "cursor=AAAA", "limit=0", "status=sleeping", "created_from=yesterday"):
        assert (await client.get(f"/v1/tasks?{wrong}")).status_code == 422, wrong


async def test_why_a_model_does_not_run(service: Service, client: httpx.AsyncClient, story: Story):
    decision = EligibilityDecision(
        "e-1", service.now, UID, 1, MODEL, False, ("no series is axial",), "rules-1", None, None
    )
    service.read(decision)
    [said] = (await client.get(f"/v1/studies/{UID}/eligibility")).json()["decisions"]
    assert (said["model"], said["eligible"], said["reasons"]) == (MODEL, False, ["no series is axial"])
    asked = (await client.post("/v1/inference", json=body())).json()
    assert "no series is axial" in asked["remarks"][0]
    assert (await client.get("/v1/studies/9.9/eligibility")).status_code == 404


async def test_openapi_shows_how_to_ask(client: httpx.AsyncClient):
    document = (await client.get("/openapi.json")).json()
    for name in ("InferenceRequest", "TaskResource"):
        assert document["components"]["schemas"][name]["examples"], name
    assert {"202", "404", "422", "503"} <= set(document["paths"]["/v1/inference"]["post"]["responses"])
