"""Subscriptions to workitems, and the WebSocket on which their event reports are sent (PS3.18 11.10 to 11.13).

Notifications are hints: what happens while nobody is connected is told as the present state when somebody does.
"""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from typing import Annotated, Final
from urllib.parse import parse_qsl

import orjson
from fastapi import APIRouter, Query, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.concurrency import run_in_threadpool

from dashboards.api.context import ApiContext, Context, context_of
from dashboards.live.feed import Follower
from dashboards.live.records import TaskView
from dashboards.ups import search
from dashboards.ups.identity import task_of
from dashboards.ups.orders import WorkitemRefused
from dashboards.ups.reports import Told, is_wanted, reports, told
from dashboards.ups.subscriptions import FILTERED, GLOBAL, Subscription
from dashboards.ups.workitem import State, state_of

router = APIRouter(tags=["UPS-RS"])

#: Printable characters without backslash (PS3.5 6.2, VR AE).
_AET: Final = r"^(?! )[\x20-\x5b\x5d-\x7e]{1,16}(?<! )$"
_MOST: Final = 5_000
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
    deletionlock: bool = False,
    filter: Annotated[str, Query(max_length=2000)] = "",
) -> Response:
    """Subscribe an AE title to a workitem, to all of them, or to those that match ``filter``."""
    _check_aet(aet)
    if uid == FILTERED:
        if not filter:
            raise WorkitemRefused(400, "a filtered subscription needs the parameter filter: give a search")
        search.parse(parse_qsl(filter, keep_blank_values=True))
    elif uid != GLOBAL and task_of(context.view, uid) is None:
        raise WorkitemRefused(404, f"no workitem {uid[:64]} is known: GET /workitems lists those that are")
    context.subscriptions.add(Subscription(aet, uid, filter if uid == FILTERED else "", deletionlock))
    root = context.root_of(request).replace("http", "ws", 1)
    return Response(status_code=201, headers={"content-location": f"{root}/subscribers/{aet}"})


@router.delete("/workitems/{uid}/subscribers/{aet}", response_class=Response)
def unsubscribe(uid: str, aet: str, context: Context) -> Response:
    """End a subscription; the end of the global one ends all of the AE title."""
    if not context.subscriptions.remove(aet, uid):
        raise WorkitemRefused(404, f"{aet[:16]} has no such subscription: it may have ended already")
    return Response(status_code=200)


@router.post("/workitems/{uid}/subscribers/{aet}/suspend", response_class=Response)
def suspend(uid: str, aet: str, context: Context) -> Response:
    """End the global or filtered subscription, and keep those of single workitems."""
    if uid not in (GLOBAL, FILTERED):
        raise WorkitemRefused(
            400, "only the global and the filtered subscription can be suspended: delete it instead"
        )
    if not context.subscriptions.suspend(aet, uid):
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
        self._told: dict[str, Told] = {}
        #: Tasks that are done, and whose objects are not listed yet.
        self._pending: set[str] = set()
        self._subscribed: tuple[Subscription, ...] = ()

    def all_open(self) -> list[bytes]:
        """State of each workitem that is wanted and not over."""
        now = self._context.now()
        tasks = self._context.view.newest(lambda task: state_of(task, now) not in _FINAL, None, _INITIAL)
        self._subscribed = tuple(self._context.subscriptions.of(self._aet))
        return [report for task in tasks for report in self._reports(task, now)]

    def news(self, touched: set[str]) -> list[bytes]:
        """What is new of these tasks, and of those whose objects were not listed yet."""
        if tuple(self._context.subscriptions.of(self._aet)) != self._subscribed:
            return self.all_open()
        view, now = self._context.view, self._context.now()
        found = [view.task(task_id) for task_id in sorted(touched | self._pending)]
        return [report for task in found if task is not None for report in self._reports(task, now, new=True)]

    def _reports(self, task: TaskView, now: datetime, *, new: bool = False) -> list[bytes]:
        if not is_wanted(task, self._subscribed, now):
            self._told.pop(task.task_id, None)
            self._pending.discard(task.task_id)
            return []
        before, self._told[task.task_id] = self._told.get(task.task_id), told(task, now)
        found = [orjson.dumps(one) for one in reports(task, now, before, new=new)]
        if len(self._told) > _MOST:
            del self._told[next(iter(self._told))]
        if task.finished and self._told[task.task_id].state not in _FINAL:
            self._pending.add(task.task_id)
        else:
            self._pending.discard(task.task_id)
        return found


async def _send(socket: WebSocket, pieces: list[bytes]) -> None:
    for piece in pieces:
        await asyncio.wait_for(socket.send_text(piece.decode()), _PATIENCE_S)


async def _gone(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


def _check_aet(aet: str) -> None:
    if not re.fullmatch(_AET, aet):
        raise WorkitemRefused(400, "an AE title has 1 to 16 printable characters: correct it")
