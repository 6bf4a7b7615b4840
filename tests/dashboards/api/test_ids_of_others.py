"""Tasks that another producer named in its own way: seen through every door, and in nobody's way."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from pydicom import Dataset
from websockets.sync.client import connect

from dashboards.live.view import Limits, LiveView
from dashboards.ups.identity import task_of, workitem_uid
from schemas.events import TaskState
from tests.dashboards.api.conftest import Service, served
from tests.dashboards.story import START, Story

IDS = ["1.2.3-0", "0D2C9F0E-51A1-4A5B-9D0E-6A0CF1F77F54", "задача 17", "a/b", "x" * 300]


def named(task_id: str) -> Story:
    story = Story("1.2.3")
    story.task_id = task_id
    return story


@pytest.mark.parametrize("task_id", IDS)
async def test_it_is_in_every_list_and_found_as_a_workitem(
    service: Service, client: httpx.AsyncClient, task_id: str
) -> None:
    other = Story("1.2.4")
    service.read(named(task_id).task(), other.task())
    for path in ("/v1/tasks", "/tasks", "/studies", "/studies/1.2.3", "/worklist", "/fhir/Task", "/metrics", "/"):
        answer = await client.get(path)
        assert answer.status_code in (200, 404), f"{path}: {answer.text}"
    assert {one["task_id"] for one in (await client.get("/v1/tasks")).json()["tasks"]} == {task_id, other.task_id}
    found = [Dataset.from_json(one).SOPInstanceUID for one in (await client.get("/workitems")).json()]
    assert len(set(found)) == 2
    task = service.view.task(task_id)
    assert task is not None
    uid = workitem_uid(task)
    assert uid in found
    [whole] = (await client.get(f"/workitems/{uid}")).json()
    assert Dataset.from_json(whole).SOPInstanceUID == uid
    assert len((await client.get("/workitems", params={"SOPInstanceUID": uid})).json()) == 1


@pytest.mark.parametrize("task_id", IDS)
def test_subscribers_of_another_hear_of_theirs(service: Service, task_id: str) -> None:
    mine, strange = Story("1.2.4"), named(task_id)
    service.read(strange.task(), strange.status(TaskState.INFERRING, 3), mine.task())
    task = service.view.task(mine.task_id)
    assert task is not None
    with served(service) as address, httpx.Client(base_url=f"http://{address}") as http:
        assert http.post(f"/workitems/{workitem_uid(task)}/subscribers/RIS").status_code == 201
        with connect(f"ws://{address}/subscribers/RIS") as channel:
            assert Dataset.from_json(channel.recv(30)).AffectedSOPInstanceUID == workitem_uid(task)


@pytest.mark.parametrize("task_id", IDS)
def test_it_is_forgotten_like_any_other(task_id: str) -> None:
    view = LiveView(Limits(keep_finished=timedelta(hours=1)))
    story = named(task_id)
    view.apply(story.task())
    view.apply(story.status(TaskState.COMPLETED, 3))
    task = view.task(task_id)
    assert task is not None
    assert task_of(view, workitem_uid(task)) == task
    view.sweep(START + timedelta(days=2))
    assert task_of(view, workitem_uid(task)) is None
