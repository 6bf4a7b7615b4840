"""UPS-RS (PS3.18 11): inference tasks as workitems, in DICOM JSON or XML.

::

    POST /workitems?{uid}                     create: the order of an inference
    GET  /workitems?...                       search
    GET  /workitems/{uid}                     retrieve
    POST /workitems/{uid}                     update: a more urgent priority
    PUT  /workitems/{uid}/state               change state: ours to do, so refused with the standard's reason
    POST /workitems/{uid}/cancelrequest       request cancellation

We are manager and performer in one: workers claim workitems, and their Transaction UID is told to nobody.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl, unquote

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydicom import Dataset

from dashboards.api import present_task
from dashboards.api.context import ApiContext, Context
from dashboards.api.dicom_media import answer, check_acceptable, data_set_of
from dashboards.live.records import TaskView
from dashboards.ups import search
from dashboards.ups.identity import DOOR, task_of
from dashboards.ups.model import Json
from dashboards.ups.orders import WorkitemRefused, check_uid, order_of_workitem, reason_of, upgrade_of
from dashboards.ups.workitem import PRIORITIES, State, state_of, workitem
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.events import CommandKind, SeriesContent, StudyReady

router = APIRouter(prefix="/workitems", tags=["UPS-RS"])

_ACTOR: Final = "ups"


@router.post("", status_code=201, response_class=Response)
async def create(request: Request, context: Context) -> Response:
    """Create a workitem; it is taken where its codes name a model."""
    item = await data_set_of(request)
    uid = _named(request) or str(item.get("SOPInstanceUID") or "") or f"2.25.{uuid.uuid4().int}"
    check_uid(uid)
    if item.get("SOPInstanceUID") not in (None, "", uid):
        raise WorkitemRefused(
            400, "SOP Instance UID (0008,0018) is another one than that of the URL: leave it out"
        )
    return await run_in_threadpool(_create, uid, item, request, context)


def _create(uid: str, item: Dataset, request: Request, context: ApiContext) -> Response:
    if task_of(context.view, uid) is not None:
        raise WorkitemRefused(409, f"the workitem {uid} is there already: take another UID")
    order = order_of_workitem(item, context.view.nodes.models())
    placed = context.desk.order(order, DOOR + uid)
    if not placed.new:
        raise WorkitemRefused(409, f"the workitem {uid} is there already: take another UID")
    headers = {"location": f"{context.root_of(request)}/workitems/{uid}"}
    if placed.remarks:
        text = placed.remarks[0].replace('"', "'").encode("ascii", "replace").decode()
        headers["warning"] = f'299 scanstream "{text[:500]}"'
    return Response(status_code=201, headers=headers)


@router.get("", response_class=Response)
def find(request: Request, context: Context) -> Response:
    """Search for workitems, the newest first."""
    kind = check_acceptable(request, one=False)
    wanted = search.parse(request.query_params.multi_items())
    now = context.now()
    most = wanted.offset + wanted.limit
    tasks = context.view.newest(lambda task: search.matches(task, wanted, now), None, most)[wanted.offset :]
    return answer([_of(task, context, now) for task in tasks], kind, one=False)


@router.get("/{uid}", response_class=Response)
def retrieve(uid: str, request: Request, context: Context) -> Response:
    """Retrieve a workitem, with the list of its input images where the log still has it."""
    kind = check_acceptable(request, one=True)
    task, now = _task(uid, context), context.now()
    return answer([_of(task, context, now, _series(task, context))], kind, one=True)


@router.post("/{uid}", response_class=Response)
async def update(uid: str, request: Request, context: Context) -> Response:
    """Update a workitem that nobody has begun: its priority may become more urgent."""
    item = await data_set_of(request)
    return await run_in_threadpool(_update, uid, item, context)


def _update(uid: str, item: Dataset, context: ApiContext) -> Response:
    task = _task(uid, context)
    _check_open(task, context)
    if state_of(task, context.now()) is State.IN_PROGRESS:
        raise WorkitemRefused(400, "the Transaction UID is missing or incorrect: only its performer may update it")
    priority = upgrade_of(item)
    if PRIORITIES[priority] != PRIORITIES[task.priority]:
        context.desk.command(task.task_id, CommandKind.UPGRADE, _ACTOR, None, priority)
    return Response(status_code=200)


@router.put("/{uid}/state", response_class=Response)
async def change_state(uid: str, request: Request, context: Context) -> Response:
    """Change the state of a workitem, which is the performer's to do (PS3.4 CC.2.1)."""
    item = await data_set_of(request)
    return await run_in_threadpool(_change_state, uid, item, context)


def _change_state(uid: str, item: Dataset, context: ApiContext) -> Response:
    task = _task(uid, context)
    wanted, known = str(item.get("ProcedureStepState") or ""), state_of(task, context.now())
    if wanted not in (State.IN_PROGRESS, State.COMPLETED, State.CANCELED) or not item.get("TransactionUID"):
        raise WorkitemRefused(
            400, "give Procedure Step State (0074,1000) IN PROGRESS, COMPLETED or CANCELED and a Transaction UID"
        )
    check_uid(str(item.TransactionUID))
    if known in (State.COMPLETED, State.CANCELED):
        if wanted == known:
            text = f"The UPS is already in the requested state of {known.value}"
            return Response(status_code=200, headers={"warning": f'299 scanstream "{text}"'})
        raise WorkitemRefused(409, f"the workitem is {known.value}: its state does not change any more")
    if known is State.SCHEDULED and wanted == State.IN_PROGRESS:
        raise WorkitemRefused(
            409, "the workitem is scheduled for a worker of scanstream, which claims it by itself"
        )
    if known is State.SCHEDULED:
        raise WorkitemRefused(
            409,
            "the submitted request is inconsistent with the current state: the workitem is not IN PROGRESS yet; "
            "ask for its end by POST .../cancelrequest",
        )
    if wanted == State.IN_PROGRESS:
        raise WorkitemRefused(409, "the workitem is IN PROGRESS already, and another one performs it")
    raise WorkitemRefused(400, "the Transaction UID is missing or incorrect: only its performer may end it")


@router.post("/{uid}/cancelrequest", response_class=Response, status_code=202)
async def request_cancellation(uid: str, request: Request, context: Context) -> Response:
    """Ask for the end of a workitem; it is CANCELED once its worker says so."""
    item = await data_set_of(request) if await request.body() else Dataset()
    return await run_in_threadpool(_cancel, uid, item, context)


def _cancel(uid: str, item: Dataset, context: ApiContext) -> Response:
    task = _task(uid, context)
    _check_open(task, context)
    context.desk.command(task.task_id, CommandKind.CANCEL, _ACTOR, reason_of(item))
    return Response(status_code=202)


def _check_open(task: TaskView, context: ApiContext) -> None:
    state = state_of(task, context.now())
    if task.finished:
        said = (
            f"The UPS is already in the requested state of {state.value}"
            if state is State.CANCELED
            else state.value
        )
        raise WorkitemRefused(409, f"{said}: nothing can be changed any more")


def _of(task: TaskView, context: ApiContext, now: datetime, series: Sequence[SeriesContent] = ()) -> Json:
    _, expected = present_task.outlook(task, context.view, now)
    return workitem(task, now, series, expected)


def _series(task: TaskView, context: ApiContext) -> tuple[SeriesContent, ...]:
    study = context.view.study(task.study_instance_uid)
    if study is None or study.place is None:
        return ()
    try:
        event = context.recall(study.place)
    except (DestinationUnavailable, InvalidMessage):
        return ()
    return event.series if isinstance(event, StudyReady) else ()


def _task(uid: str, context: ApiContext) -> TaskView:
    task = task_of(context.view, uid)
    if task is None:
        raise WorkitemRefused(404, f"no workitem {uid[:64]} is known: GET /workitems lists those that are")
    return task


def _named(request: Request) -> str | None:
    """UID in the query of a create: alone (PS3.18 11.4), or as ``workitem=``."""
    query = unquote(request.url.query)
    if not query:
        return None
    return dict(parse_qsl(query)).get("workitem", query) if "=" in query else query
