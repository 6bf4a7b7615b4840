"""Tasks for requesters and operators: one, lists with a stable mark, results, and what may be asked of a task."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Query, Request

from dashboards.api import present, present_task
from dashboards.api.context import Context
from dashboards.api.cursor import cursor_of, mark_of
from dashboards.api.inference_models import (
    CommandRequest,
    PublicState,
    TaskPage,
    TaskResource,
    TaskResults,
    UpgradeRequest,
)
from dashboards.api.models import Problem
from dashboards.api.problems import MEDIA_TYPE, NOT_FOUND
from dashboards.live.catalogue import Kind
from dashboards.live.records import TaskView
from schemas.events import CommandKind
from schemas.topics import Priority

router = APIRouter(prefix="/v1/tasks", tags=["inference"])

FINAL: Final[dict[int | str, dict[str, Any]]] = {
    409: {"model": Problem, "description": "Not at this state of the task", "content": {MEDIA_TYPE: {}}},
}
_COMMAND: Final = {**NOT_FOUND, **FINAL}


@router.get("", responses={422: {"model": Problem, "content": {MEDIA_TYPE: {}}}})
def tasks(
    request: Request,
    context: Context,
    status: Annotated[list[PublicState] | None, Query(description="one or several")] = None,
    priority: Annotated[list[Priority] | None, Query(description="one or several")] = None,
    model: Annotated[str | None, Query(max_length=128)] = None,
    study: Annotated[str | None, Query(max_length=64, description="StudyInstanceUID")] = None,
    created_from: Annotated[datetime | None, Query(description="at or after this time")] = None,
    created_before: Annotated[datetime | None, Query(description="before this time")] = None,
    cursor: Annotated[str | None, Query(max_length=200, description="from the next link of a page")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> TaskPage:
    """Tasks, the newest first. Following ``next`` gives each task once, however they move in the meantime."""
    mark = None if cursor is None else mark_of(cursor)
    if cursor is not None and mark is None:
        raise HTTPException(422, "cursor is none that this service gave: begin again without it")
    first, end = _utc(created_from), _utc(created_before)
    states = frozenset(status or PublicState)
    classes = frozenset(priority or Priority)

    def of_kind(kind: Kind | TaskView) -> bool:
        return (
            present_task.PUBLIC[kind.state] in states
            and kind.priority in classes
            and (model is None or kind.model_name == model)
        )

    def wanted(task: TaskView) -> bool:
        return (
            of_kind(task)
            and (first is None or task.created_at >= first)
            and (end is None or task.created_at < end)
        )

    found = context.view.newest(wanted, mark, limit + 1, study, of_kind)
    now, root = context.now(), context.root_of(request)
    page = [present_task.resource(task, context.view, now, root) for task in found[:limit]]
    following = None
    if len(found) > limit:
        kept = [pair for pair in request.query_params.multi_items() if pair[0] != "cursor"]
        last = found[limit - 1]
        query = urlencode([*kept, ("cursor", cursor_of((last.created_at, last.task_id)))])
        following = f"{root}/v1/tasks?{query}"
    return TaskPage(tasks=page, next=following)


@router.get("/{task_id}", responses=NOT_FOUND)
async def task(task_id: str, request: Request, context: Context) -> TaskResource:
    """State of one task, its place in the line, and when it is likely to be done."""
    return _answer(context.desk.task(task_id), request, context)


@router.get("/{task_id}/results", responses=_COMMAND)
async def results(task_id: str, context: Context) -> TaskResults:
    """What the model said, with what radiologists decided since, and where the objects made of it are.

    A task that could not run has a result too: it says why. Not finished yet: 409.
    """
    found = context.desk.task(task_id)
    if found.result is None:
        hint = "wait until it has completed" if not found.finished else found.reason or "it has no result"
        raise HTTPException(409, f"task {task_id} is {present_task.PUBLIC[found.state].value}: {hint}")
    whole = present.task(found, context.now(), None, context.view.reviews.find(task_id))
    assert whole.result is not None  # noqa: S101 - it was there a moment ago, and records do not change
    return TaskResults(
        task_id=task_id,
        status=present_task.PUBLIC[found.state],
        result=whole.result,
        deliveries=whole.deliveries,
        objects=present.objects(found),
    )


@router.post("/{task_id}/cancel", status_code=202, responses=_COMMAND)
def cancel(task_id: str, request: Request, context: Context, body: CommandRequest | None = None) -> TaskResource:
    """Ask for the end of a task, at any stage; it is cancelled once its worker says so."""
    return _commanded(task_id, CommandKind.CANCEL, body or CommandRequest(), request, context)


@router.post("/{task_id}/hold", status_code=202, responses=_COMMAND)
def hold(task_id: str, request: Request, context: Context, body: CommandRequest | None = None) -> TaskResource:
    """Ask that a task waits until it is released."""
    return _commanded(task_id, CommandKind.HOLD, body or CommandRequest(), request, context)


@router.post("/{task_id}/release", status_code=202, responses=_COMMAND)
def release(task_id: str, request: Request, context: Context, body: CommandRequest | None = None) -> TaskResource:
    """Let a task that was held go on."""
    return _commanded(task_id, CommandKind.RELEASE, body or CommandRequest(), request, context)


@router.post("/{task_id}/upgrade", status_code=202, responses=_COMMAND)
def upgrade(task_id: str, body: UpgradeRequest, request: Request, context: Context) -> TaskResource:
    """Give a task a more urgent class, with the deadline of that class from now on."""
    return _commanded(task_id, CommandKind.UPGRADE, body, request, context, body.priority)


def _commanded(
    task_id: str,
    kind: CommandKind,
    body: CommandRequest,
    request: Request,
    context: Context,
    priority: Priority | None = None,
) -> TaskResource:
    task = context.desk.command(task_id, kind, body.actor, body.reason, priority)
    return _answer(task, request, context)


def _answer(task: TaskView, request: Request, context: Context) -> TaskResource:
    return present_task.resource(task, context.view, context.now(), context.root_of(request))


def _utc(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)
