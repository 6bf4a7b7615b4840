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
from urllib.parse import unquote

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydicom import Dataset

from dashboards.api import present_task
from dashboards.api.context import ApiContext, Context
from dashboards.api.dicom_media import answer, check_acceptable, data_set_of
from dashboards.live.records import TaskView
from dashboards.orders.order import Refused
from dashboards.ups import search
from dashboards.ups.cancellation import KEPT, cancellation_of
from dashboards.ups.identity import DOOR, task_of
from dashboards.ups.model import Json
from dashboards.ups.orders import (
    WorkitemRefused,
    as_refused_workitem,
    check_uid,
    not_kept,
    order_of_workitem,
    upgrade_of,
    warning,
)
from dashboards.ups.workitem import PRIORITIES, State, state_of, workitem
from producers.dicomweb.media import MULTIPART_RELATED
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.events import CommandKind, SeriesContent, StudyReady

router = APIRouter(prefix="/workitems", tags=["UPS-RS"])

_ACTOR: Final = "ups"
#: What a create is refused with (PS3.18 table 11.4.3-1): nothing but the workitem itself is "not found".
_OF_CREATE: Final = {404: 400, 422: 400}
_ALREADY: Final = "The UPS is already in the requested state of "


@router.post("", status_code=201, response_class=Response)
async def create(request: Request, context: Context) -> Response:
    """Create a workitem; it is taken where its codes name a model."""
    item = await data_set_of(request)
    named = {str(item.get(keyword) or "") for keyword in ("SOPInstanceUID", "AffectedSOPInstanceUID")} - {""}
    in_url = _uid_in(request, "workitem", "AffectedSOPInstanceUID")
    uid = in_url or min(named, default="") or f"2.25.{uuid.uuid4().int}"
    check_uid(uid)
    if named - {uid}:
        raise WorkitemRefused(
            400, "SOP Instance UID (0008,0018) is another one than that of the URL: leave it out"
        )
    return await run_in_threadpool(_create, uid, item, request, context)


def _create(uid: str, item: Dataset, request: Request, context: ApiContext) -> Response:
    if task_of(context.view, uid) is not None:
        raise WorkitemRefused(409, f"the workitem {uid} is there already: take another UID")
    try:
        placed = context.desk.order(order_of_workitem(item, context.view.nodes.models()), DOOR + uid)
    except Refused as refused:
        raise as_refused_workitem(refused, _OF_CREATE) from refused
    if not placed.new:
        raise WorkitemRefused(409, f"the workitem {uid} is there already: take another UID")
    remarks, kept = list(placed.remarks), _of(placed.task, context, context.now(), _series(placed.task, context))
    if others := not_kept(item, kept):
        remarks.insert(0, f"The Workitem was created with modifications. Not kept as given: {', '.join(others)}")
    location = f"{context.root_of(request)}/workitems/{uid}"
    return Response(
        status_code=201, headers={"location": location, "content-location": location} | warning(*remarks)
    )


@router.get("", response_class=Response)
def find(request: Request, context: Context) -> Response:
    """Search for workitems, the newest first."""
    kind = check_acceptable(request, one=False)
    wanted = search.parse(request.query_params.multi_items())
    now = context.now()
    end = wanted.offset + wanted.limit
    tasks = search.find(context.view, wanted, now, end + 1)
    remarks = ["The fuzzymatching parameter is not supported. Only literal matching has been performed."]
    remarks = remarks if wanted.fuzzy else []
    if len(tasks) > end:
        remarks.append("There are additional results that can be requested: use limit and offset")
    page = tasks[wanted.offset : end]
    if kind == MULTIPART_RELATED:
        return answer([_of(task, context, now) for task in page], kind, remarks)
    rendered = [context.rendered(task, now, _expected(task, context, now)) for task in page]
    return answer([orjson.Fragment(one) for one in rendered], kind, remarks)


@router.get("/{uid}", response_class=Response)
def retrieve(uid: str, request: Request, context: Context) -> Response:
    """Retrieve a workitem, with the list of its input images where the log still has it."""
    kind = check_acceptable(request, one=True)
    task, now = _task(uid, context), context.now()
    return answer([_of(task, context, now, _series(task, context))], kind)


@router.post("/{uid}", response_class=Response)
async def update(uid: str, request: Request, context: Context) -> Response:
    """Update a workitem that nobody has begun: its priority may become more urgent."""
    item = await data_set_of(request)
    lock = _uid_in(request, "transaction-uid", "TransactionUID") or str(item.get("TransactionUID") or "")
    return await run_in_threadpool(_update, uid, item, lock, context)


def _update(uid: str, item: Dataset, lock: str, context: ApiContext) -> Response:
    task = _task(uid, context)
    state = state_of(task, context.now())
    if state in (State.COMPLETED, State.CANCELED):
        raise WorkitemRefused(
            400,
            "The submitted request is inconsistent with the current state of the Workitem. "
            f"It is {state.value}, and nothing can be changed any more",
        )
    if state is State.IN_PROGRESS:
        raise WorkitemRefused(400, f"{_lock_is(lock)} A worker of scanstream performs it, and it alone updates it")
    priority = upgrade_of(item)
    if PRIORITIES[priority] != PRIORITIES[task.priority]:
        try:
            context.desk.command(task.task_id, CommandKind.UPGRADE, _ACTOR, None, priority)
        except Refused as refused:
            raise as_refused_workitem(refused) from refused
    return Response(status_code=200)


@router.put("/{uid}/state", response_class=Response)
async def change_state(uid: str, request: Request, context: Context) -> Response:
    """Change the state of a workitem, which is the performer's to do (PS3.4 CC.2.1)."""
    item = await data_set_of(request)
    return await run_in_threadpool(_change_state, uid, item, context)


def _change_state(uid: str, item: Dataset, context: ApiContext) -> Response:
    task = _task(uid, context)
    wanted, known = str(item.get("ProcedureStepState") or ""), state_of(task, context.now())
    lock = str(item.get("TransactionUID") or "")
    if wanted not in (State.IN_PROGRESS, State.COMPLETED, State.CANCELED):
        raise WorkitemRefused(400, "Procedure Step State (0074,1000) must be IN PROGRESS, COMPLETED or CANCELED")
    if not lock:
        raise WorkitemRefused(400, f"{_lock_is(lock)} Give Transaction UID (0008,1195)")
    check_uid(lock)
    if wanted == known and known is not State.IN_PROGRESS:
        return Response(status_code=200, headers=warning(_ALREADY + f"{known.value}."))
    if known is State.IN_PROGRESS and wanted != State.IN_PROGRESS:
        raise WorkitemRefused(
            400, f"{_lock_is(lock)} A worker of scanstream performs it: ask for its end by POST .../cancelrequest"
        )
    if known in (State.COMPLETED, State.CANCELED):
        more = f"It is {known.value}, and its state does not change any more"
    elif known is State.IN_PROGRESS:
        more = "It is IN PROGRESS already, and a worker of scanstream performs it"
    elif wanted == State.IN_PROGRESS:
        more = "It is scheduled for a worker of scanstream, which claims it by itself"
    else:
        more = "It is not IN PROGRESS yet: ask for its end by POST .../cancelrequest"
    raise WorkitemRefused(409, f"The submitted request is inconsistent with the state of the UPS Instance. {more}")


def _lock_is(given: str) -> str:
    """Sentence of the standard on a Transaction UID that cannot be the right one, which is told to nobody."""
    return "The Transaction UID is incorrect." if given else "The Transaction UID is missing."


@router.post("/{uid}/cancelrequest", response_class=Response, status_code=202)
async def request_cancellation(uid: str, request: Request, context: Context) -> Response:
    """Ask for the end of a workitem, with a reason and a contact; it is CANCELED once its worker says so."""
    item = await data_set_of(request) if await request.body() else Dataset()
    return await run_in_threadpool(_cancel, uid, item, context)


def _cancel(uid: str, item: Dataset, context: ApiContext) -> Response:
    task, said = _task(uid, context), cancellation_of(item)
    state, remarks = state_of(task, context.now()), list[str]()
    if state is State.CANCELED:
        return Response(status_code=202, headers=warning(_ALREADY + "CANCELED."))
    if task.finished:
        done = "The UPS is already COMPLETED." if state is State.COMPLETED else "Performer chooses not to cancel."
        raise WorkitemRefused(409, f"{done} Its result is there, and nothing can be changed any more")
    if task.cancelled is not None and said.says_why:
        remarks.append("The cancellation has been asked for before: what was said then is kept")
    elif said.shortened:
        remarks.append(f"Reason For Cancellation (0074,1238) was shortened to {KEPT} characters")
    try:
        context.desk.command(
            task.task_id,
            CommandKind.CANCEL,
            _ACTOR,
            said.reason,
            codes=said.codes,
            contact_name=said.contact_name,
            contact_uri=said.contact_uri,
        )
    except Refused as refused:
        raise as_refused_workitem(refused) from refused
    return Response(status_code=202, headers=warning(*remarks))


def _of(task: TaskView, context: ApiContext, now: datetime, series: Sequence[SeriesContent] = ()) -> Json:
    return workitem(task, now, series, _expected(task, context, now))


def _expected(task: TaskView, context: ApiContext, now: datetime) -> datetime | None:
    return present_task.outlook(task, context.view, now)[1]


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


def _uid_in(request: Request, *names: str) -> str | None:
    """UID in a query: alone (PS3.18 11.4 and 11.6), or under one of these names."""
    found = None
    for part in filter(None, request.url.query.split("&")):
        name, equals, value = part.partition("=")
        if name in names or not equals:
            found = unquote(value if equals else name)
        elif name not in ("accept", "charset"):
            raise WorkitemRefused(400, f"the query may only be a UID, alone or as {names[0]}=: correct it")
    return found
