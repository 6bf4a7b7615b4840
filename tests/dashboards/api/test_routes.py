"""What the API says of studies and tasks, and how it says no."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from schemas.events import TaskState
from schemas.topics import Priority
from tests.dashboards.api.conftest import Service
from tests.dashboards.story import SEG, START, Story, failed

PROBLEM = "application/problem+json"


async def test_a_finished_study(service: Service, client: httpx.AsyncClient):
    story = Story("1.2.3")
    for event in story.whole():
        service.view.apply(event)
    study = (await client.get("/studies/1.2.3")).json()
    assert study["report_url"] == "http://api/fhir/DiagnosticReport/7"
    assert study["study_description"] == "MR Голова"
    assert [(item["name"], item["destination"], item["status"]) for item in study["objects"]] == [
        ("DiagnosticReport", "fhir", "stored"),
        ("SEG", "stow", "stored"),
        ("SR", "stow", "stored"),
    ]
    assert study["objects"][1]["object_type"] == SEG
    assert [(stage["name"], stage["since_arrival_ms"]) for stage in study["timeline"]] == [
        ("arrived", 0.0),
        ("last image", 1000.0),
        ("complete", 2000.0),
        ("queued", 2100.0),
        ("preprocessing", 2500.0),
        ("inferring", 3000.0),
        ("postprocessing", 4500.0),
        ("result", 5000.0),
        ("completed", 5000.0),
        ("delivered:stow", 5400.0),
        ("delivered:fhir", 5600.0),
    ]
    [task] = study["tasks"]
    assert task["result"]["findings"][0]["measurements"] == [{"name": "Volume", "value": 1172.44, "unit": "mL"}]
    assert task["result"]["artifacts"][0]["shape"] == [2, 4, 4]
    assert task["overdue"] is False


async def test_one_task_and_lists_of_tasks(service: Service, client: httpx.AsyncClient):
    urgent, routine = Story("1.1", Priority.P1_EMERGENCY), Story("1.2", Priority.P4_ROUTINE)
    for story in (routine, urgent):
        service.view.apply(story.task())
    service.view.apply(routine.status(TaskState.INFERRING, 3, progress=55))

    task = (await client.get(f"/tasks/{routine.task_id}")).json()
    assert (task["state"], task["progress"], task["priority"]) == ("inferring", 55, "p4-routine")
    everything = (await client.get("/tasks")).json()
    assert everything["total"] == 2
    assert [task["priority"] for task in everything["tasks"]] == ["p1-emergency", "p4-routine"]
    of_study = (await client.get("/tasks", params={"study": "1.2"})).json()
    assert [task["task_id"] for task in of_study["tasks"]] == [routine.task_id]
    inferring = (await client.get("/tasks", params={"state": "inferring"})).json()
    assert [task["task_id"] for task in inferring["tasks"]] == [routine.task_id]
    assert (await client.get("/tasks", params={"study": "9.9"})).json() == {"total": 0, "tasks": []}


async def test_overdue_is_judged_at_the_end_of_a_task_or_now(service: Service, client: httpx.AsyncClient):
    waiting, done = Story("1.1", minutes=5), Story("1.2", minutes=5)
    service.view.apply(waiting.task())
    for event in done.whole():
        service.view.apply(event)
    service.now = START + timedelta(minutes=4)
    assert (await client.get(f"/tasks/{waiting.task_id}")).json()["overdue"] is False
    service.now = START + timedelta(minutes=6)
    assert (await client.get(f"/tasks/{waiting.task_id}")).json()["overdue"] is True
    assert (await client.get(f"/tasks/{done.task_id}")).json()["overdue"] is False


async def test_a_refused_delivery_is_said(service: Service, client: httpx.AsyncClient):
    story = Story("1.2.3")
    service.view.apply(story.result())
    service.view.apply(failed(story.delivered("stow", 6), "PACS refused the SEG"))
    study = (await client.get("/studies/1.2.3")).json()
    assert study["tasks"][0]["deliveries"][0]["reason"] == "PACS refused the SEG"
    assert {item["status"] for item in study["objects"]} == {"failed"}
    assert study["report_url"] is None


async def test_worklist_is_limited(service: Service, client: httpx.AsyncClient):
    for number in range(5):
        service.view.apply(Story(f"1.{number}").ready())
    answer = (await client.get("/studies", params={"limit": 2})).json()
    assert answer["total"] == 5
    assert len(answer["studies"]) == 2


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/studies/9.9", 404, "no study 9.9 is known"),
        ("/tasks/nothing", 404, "no task nothing is known"),
        ("/studies?limit=0", 422, "query.limit"),
        ("/tasks?state=sleeping", 422, "query.state"),
        ("/nowhere", 404, "Not Found"),
    ],
)
async def test_errors_are_problem_details(client: httpx.AsyncClient, path: str, status: int, said: str):
    response = await client.get(path)
    problem = response.json()
    assert response.status_code == problem["status"] == status
    assert response.headers["content-type"] == PROBLEM
    assert said in problem["detail"]
    assert set(problem) - {"fields"} == {"type", "title", "status", "detail", "instance"}


async def test_an_unexpected_error_shows_nothing_of_the_inside(service: Service, client: httpx.AsyncClient):
    def broken() -> tuple[int, int]:
        raise RuntimeError("secret inside")

    service.view.sizes = broken  # type: ignore[method-assign] # the one way to make a correct route fail
    response = await client.get("/health/ready")
    assert response.status_code == 500
    assert response.headers["content-type"] == PROBLEM
    assert "secret" not in response.text


async def test_readiness_says_what_is_missing(service: Service, client: httpx.AsyncClient):
    assert (await client.get("/health/live")).json() == {"live": True}
    assert (await client.get("/health/ready")).json() == {"ready": True, "studies": 0, "tasks": 0}
    service.missing.append("Kafka does not answer at 127.0.0.1:1")
    response = await client.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["missing"] == ["Kafka does not answer at 127.0.0.1:1"]
    assert (await client.get("/health/live")).status_code == 200


async def test_metrics_name_routes_and_never_studies(service: Service, client: httpx.AsyncClient):
    await client.get("/studies/1.2.3.4")
    await client.get("/fhir/DiagnosticReport/1.2.3.4")
    text = (await client.get("/metrics")).text
    assert 'route="/studies/{study_instance_uid}"' in text
    assert "1.2.3.4" not in text


async def test_fhir_is_served_with_its_own_errors(client: httpx.AsyncClient):
    assert (await client.get("/fhir/metadata")).json()["resourceType"] == "CapabilityStatement"
    missing = await client.get("/fhir/DiagnosticReport/none")
    assert missing.status_code == 404
    assert missing.json()["resourceType"] == "OperationOutcome"


async def test_the_page_loads_nothing_from_elsewhere(client: httpx.AsyncClient):
    page = await client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for path in ("/", "/page/worklist.css", "/page/worklist.js"):
        text = (await client.get(path)).text
        assert "http://" not in text.replace("http:\\/\\/", "")
        assert "https://" not in text
        assert "innerHTML" not in text


async def test_openapi_has_examples(client: httpx.AsyncClient):
    document = (await client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    for name in ("Task", "Study", "Problem"):
        assert schemas[name]["examples"], name
    assert "/studies/{study_instance_uid}" in document["paths"]
    assert "404" in document["paths"]["/tasks/{task_id}"]["get"]["responses"]
