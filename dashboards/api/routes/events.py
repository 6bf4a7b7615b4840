"""Statuses as they happen (Server-Sent Events): of one task until it has finished, or of all."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, HTTPException, Query, Response

from dashboards.api import present_task
from dashboards.api.context import Context
from dashboards.api.event_stream import Event, EventStream, as_json
from dashboards.api.problems import NOT_FOUND
from dashboards.live.feed import Point, point_of
from dashboards.live.records import FINAL_STATES, TaskView
from schemas.events import TaskState, TaskStatus
from schemas.instants import rfc3339
from schemas.topics import Priority

router = APIRouter(prefix="/v1", tags=["inference"])

_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Events `status`; `reset` where some were missed: read the task or the list again",
        "content": {
            "text/event-stream": {"example": 'id: 0-17.3-9\nevent: status\ndata: {"status": "inferring"}'}
        },
    }
}
LastEventId = Annotated[
    str | None, Header(description="id of the last event that was seen: go on after it", max_length=4096)
]


@router.get("/tasks/{task_id}/events", response_class=Response, responses={**NOT_FOUND, **_STREAM})
async def of_task(task_id: str, context: Context, last_event_id: LastEventId = None) -> Response:
    """Follow one task: its state now, then every status, until it has finished.

    To a client that comes back after the end the answer is 204, which tells it to stop.
    """
    task = context.desk.task(task_id)
    after = _point(last_event_id)
    if task.finished and after is not None and context.view.feed.nothing_since(task_id, after):
        return Response(status_code=204)
    if task.finished:
        return _only(task, context.view.feed.now())

    def over() -> bytes | None:
        known = context.view.task(task_id)
        return as_json(_of_view(known)) if known is not None and known.finished else None

    def first(complete: bool) -> Event | None:
        known = context.view.task(task_id)
        if known is None or (after is not None and complete):
            return None
        return "status", as_json(_of_view(known))

    return EventStream(
        context.view.feed,
        lambda status: status.task_id == task_id,
        lambda status: as_json(_of_status(status)),
        first,
        lambda status: status.state in FINAL_STATES,
        over,
        after,
    )


@router.get("/events", response_class=Response, responses=_STREAM)
async def of_all(
    context: Context,
    study: Annotated[str | None, Query(max_length=64, description="StudyInstanceUID")] = None,
    model: Annotated[str | None, Query(max_length=128)] = None,
    priority: Annotated[list[Priority] | None, Query(description="one or several")] = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Follow all tasks, or those of a study, a model or some classes, from now on."""
    classes = frozenset(priority or Priority)
    after = _point(last_event_id)

    def first(complete: bool) -> Event | None:
        if after is not None and not complete:
            return "reset", as_json({"remedy": "some events are gone: read GET /v1/tasks again"})
        return None

    return EventStream(
        context.view.feed,
        lambda status: (
            status.priority in classes
            and (study is None or status.study_instance_uid == study)
            and (model is None or status.model_name == model)
        ),
        lambda status: as_json(_of_status(status)),
        first,
        lambda _: False,
        lambda: None,
        after,
    )


def _point(last_event_id: str | None) -> Point | None:
    if last_event_id is None:
        return None
    point = point_of(last_event_id)
    if point is None:
        raise HTTPException(422, "Last-Event-ID is none that this service gave: leave it out")
    return point


def _only(task: TaskView, point: str) -> Response:
    body = f"id: {point}\nevent: status\ndata: ".encode() + as_json(_of_view(task)) + b"\n\n"
    return Response(body, media_type="text/event-stream", headers={"cache-control": "no-store"})


def _of_status(status: TaskStatus) -> dict[str, object]:
    return {
        "task_id": status.task_id,
        "study_instance_uid": status.study_instance_uid,
        "model": status.model_name,
        "priority": status.priority.value,
        "status": present_task.PUBLIC[status.state].value,
        "waiting_for": "retry" if status.state is TaskState.RETRY_WAIT else None,
        "progress": status.progress,
        "attempt": status.attempt,
        "node": status.node,
        "reason": status.reason,
        "at": rfc3339(status.occurred_at),
    }


def _of_view(task: TaskView) -> dict[str, object]:
    return {
        "task_id": task.task_id,
        "study_instance_uid": task.study_instance_uid,
        "model": task.model_name,
        "priority": task.priority.value,
        "status": present_task.PUBLIC[task.state].value,
        "waiting_for": "retry" if task.state is TaskState.RETRY_WAIT else None,
        "progress": task.progress,
        "attempt": task.attempt,
        "node": task.node,
        "reason": task.reason,
        "at": rfc3339(task.updated_at),
    }
