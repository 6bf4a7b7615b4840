"""Subscriptions to workitems, and the WebSocket on which their event reports are sent (PS3.18 11.10 to 11.13).

Notifications are hints: what happens while nobody is connected is told as the present state when somebody does.
"""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from typing import Final
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.concurrency import run_in_threadpool

from dashboards.api.context import ApiContext, Context, context_of
from dashboards.live.feed import Follower
from dashboards.live.records import TaskView
from dashboards.ups import search
from dashboards.ups.identity import task_of
from dashboards.ups.model import Json, dataset
from dashboards.ups.orders import WorkitemRefused, warning
from dashboards.ups.reports import Told, is_wanted, reports, told
from dashboards.ups.subscriptions import FILTERED, GLOBAL, Subscription
from dashboards.ups.workitem import State, state_of

router = APIRouter(tags=["UPS-RS"])

#: Printable characters without backslash (PS3.5 6.2, VR AE).
_AET: Final = r"^(?! )[\x20-\x5b\x5d-\x7e]{1,16}(?<! )$"
_LONGEST_FILTER: Final = 2_000
_MOST: Final = 5_000
#: Value representation US.
_MOST_MESSAGES: Final = 65_535
_POLL_S: Final = 1.0
_PATIENCE_S: Final = 20.0
#: Workitems whose state is told when somebody connects.
_INITIAL: Final = 1_000
_FINAL: Final = frozenset({State.COMPLETED, State.CANCELED})


@router.post("/workitems/{uid}/subscribers/{aet}", status_code=201, response_class=Response)
def subscribe(
    uid: str,
    aet: str,
    request: Request,
    context: Context,
    deletionlock: str = "false",
    filter: str = "",
) -> Response:
    """Subscribe an AE title to a workitem, to all of them, or to those that match ``filter``."""
    _check_aet(aet)
    if deletionlock not in ("true", "false"):
        raise WorkitemRefused(400, "deletionlock must be true or false: correct it, or leave it out")
    if len(filter) > _LONGEST_FILTER:
        raise WorkitemRefused(400, f"filter must have {_LONGEST_FILTER} characters at most: shorten it")
    if uid == FILTERED:
        if not filter:
            raise WorkitemRefused(400, "a filtered subscription needs the parameter filter: give a search")
        search.parse_filter(filter)
    elif uid != GLOBAL and task_of(context.view, uid) is None:
        raise WorkitemRefused(404, f"no workitem {uid[:64]} is known: GET /workitems lists those that are")
    lock = deletionlock == "true"
    context.subscriptions.add(Subscription(aet, uid, filter if uid == FILTERED else "", lock))
    root = context.root_of(request).replace("http", "ws", 1)
    # a workitem is forgotten in its time, whoever holds it
    remarks = ["Deletion Lock not granted."] if lock else []
    channel = f"{root}/subscribers/{quote(aet, safe='')}"
    return Response(status_code=201, headers={"content-location": channel} | warning(*remarks))


@router.delete("/workitems/{uid}/subscribers/{aet}", response_class=Response)
def unsubscribe(uid: str, aet: str, context: Context) -> Response:
    """End a subscription; the end of the global one ends all of the AE title."""
    known = task_of(context.view, uid) is not None
    if not context.subscriptions.remove(aet, uid, known=known):
        raise WorkitemRefused(404, f"{aet[:16]} has no such subscription: it may have ended already")
    return Response(status_code=200)


@router.post("/workitems/{uid}/subscribers/{aet}/suspend", response_class=Response)
def suspend(uid: str, aet: str, context: Context) -> Response:
    """Subscribe to no new workitems any more by the global or filtered subscription (PS3.18 11.12)."""
    if uid not in (GLOBAL, FILTERED):
        raise WorkitemRefused(
            400, "only the global and the filtered subscription can be suspended: delete it instead"
        )
    if not context.subscriptions.suspend(aet, uid, context.now()):
        raise WorkitemRefused(404, f"{aet[:16]} has no such subscription: it may have ended already")
    return Response(status_code=200)


@router.websocket("/subscribers/{aet}")
async def channel(socket: WebSocket, aet: str) -> None:
    """Event reports for an AE title, one in each message, as long as it is connected and reads them."""
    context = context_of(socket)
    await socket.accept()
    loop, woken = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(woken.set)

    follower = Follower(wake, lambda _: True, _MOST, commanded=set())
    try:
        context.view.feed.follow(follower, None)
    except OverflowError:
        await socket.close(1013, "too many follow already")
        return
    gone = asyncio.ensure_future(_gone(socket))
    try:
        known = _Known(context, aet)
        await _send(socket, await run_in_threadpool(known.all_open))
        while not gone.done() and not follower.too_slow:
            woken.clear()
            touched = {one.status.task_id for one in context.view.feed.take(follower)}
            touched |= context.view.feed.take_commanded(follower)
            await _send(socket, await run_in_threadpool(known.news, touched))
            waiting = asyncio.ensure_future(woken.wait())
            await asyncio.wait((waiting, gone), timeout=_POLL_S, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        if not gone.done():
            await socket.close(1013, "too slow: connect again")
    except (WebSocketDisconnect, TimeoutError):
        return
    finally:
        gone.cancel()
        context.view.feed.leave(follower)


class _Known:
    """What one connection has been told of which workitem."""

    def __init__(self, context: ApiContext, aet: str) -> None:
        self._context = context
        self._aet = aet
        self._message = 0
        self._told: dict[str, Told] = {}
        #: Tasks that are done, and whose objects are not listed yet.
        self._pending: set[str] = set()
        self._subscribed: tuple[Subscription, ...] = ()

    def all_open(self) -> list[bytes]:
        """State of each workitem that is wanted and not over, and of each that was subscribed to by itself."""
        view, now = self._context.view, self._context.now()
        self._subscribed = self._remembered(tuple(self._context.subscriptions.of(self._aet)))
        known = [view.task(task_id) for task_id in self._told]
        wanted = {one.task_id for one in known if one is not None and is_wanted(one, self._subscribed, now)}
        self._told = {task_id: told for task_id, told in self._told.items() if task_id in wanted}
        self._pending &= wanted

        def open_and_wanted(task: TaskView) -> bool:
            return state_of(task, now) not in _FINAL and is_wanted(task, self._subscribed, now)

        tasks = view.newest(open_and_wanted, None, _INITIAL)
        single = (task_of(view, one.workitem) for one in self._subscribed)
        tasks += [task for task in single if task is not None]
        return [report for task in tasks for report in self._reports(task, now)]

    def _remembered(self, subscriptions: tuple[Subscription, ...]) -> tuple[Subscription, ...]:
        """Subscriptions without those to workitems that are forgotten, which would pile up for ever."""
        gone = {
            one.workitem
            for one in subscriptions
            if one.workitem not in (GLOBAL, FILTERED) and task_of(self._context.view, one.workitem) is None
        }
        if not gone or self._context.missing():  # what was not read yet is not forgotten
            return subscriptions
        self._context.subscriptions.forget(self._aet, gone)
        return tuple(one for one in subscriptions if one.workitem not in gone)

    def news(self, touched: set[str]) -> list[bytes]:
        """What is new of these tasks, and of those whose objects were not listed yet."""
        changed = tuple(self._context.subscriptions.of(self._aet)) != self._subscribed
        first = self.all_open() if changed else []
        view, now = self._context.view, self._context.now()
        found = [view.task(task_id) for task_id in sorted(touched | self._pending)]
        return first + [
            report for task in found if task is not None for report in self._reports(task, now, new=True)
        ]

    def _reports(self, task: TaskView, now: datetime, *, new: bool = False) -> list[bytes]:
        # who was told of a workitem is subscribed to it, also when it has left the filter since
        if task.task_id not in self._told and not is_wanted(task, self._subscribed, now):
            return []
        before, self._told[task.task_id] = self._told.get(task.task_id), told(task, now)
        found = [self._numbered(one) for one in reports(task, now, before, new=new)]
        if len(self._told) > _MOST:
            del self._told[next(iter(self._told))]
        if task.finished and self._told[task.task_id].state not in _FINAL:
            self._pending.add(task.task_id)
        else:
            self._pending.discard(task.task_id)
        return found

    def _numbered(self, report: Json) -> bytes:
        """Report with a Message ID of its own on this connection (PS3.18 11.13, PS3.7 table 10.3-1)."""
        self._message = self._message % _MOST_MESSAGES + 1
        return orjson.dumps(dict(sorted((report | dataset(MessageID=self._message)).items())))


async def _send(socket: WebSocket, pieces: list[bytes]) -> None:
    for piece in pieces:
        await asyncio.wait_for(socket.send_text(piece.decode()), _PATIENCE_S)


async def _gone(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


def _check_aet(aet: str) -> None:
    if not re.fullmatch(_AET, aet):
        raise WorkitemRefused(400, "an AE title has 1 to 16 printable characters: correct it")
