"""Statuses that somebody follows → Server-Sent Events (HTML Living Standard 9.2) on one connection.

A client that does not read for ``PATIENCE_S``, or for whom more than ``MOST`` events wait, is dropped: it comes
back with ``Last-Event-ID`` and goes on where it was. A comment goes out every ``HEARTBEAT_S`` so that proxies keep
the connection and a client that is gone is noticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dashboards.live.feed import Feed, Follower, Point
from schemas.events import TaskStatus

HEARTBEAT_S: Final = 15.0
PATIENCE_S: Final = 20.0
MOST: Final = 1_000
_RETRY_MS: Final = 2_000

#: Name of the event, and its data as JSON.
Event = tuple[str, bytes]


class EventStream(Response):
    """Answer that goes on until it is complete, the client leaves, or is too slow.

    Parameters
    ----------
    feed
        Where statuses come from.
    wants
        Which of them.
    event_of
        Status → data of its event.
    first
        What is said when the stream begins anew: a state to begin from, or that something was missed; gets
        whether everything since ``after`` is there.
    last
        Whether a status ends the stream.
    over
        Data of the last event where what is followed has ended, however that was learnt; else ``None``.
    after
        Where the client stopped; ``None`` for a new one.
    heartbeat_s
        Between two comments.
    """

    def __init__(
        self,
        feed: Feed,
        wants: Callable[[TaskStatus], bool],
        event_of: Callable[[TaskStatus], bytes],
        first: Callable[[bool], Event | None],
        last: Callable[[TaskStatus], bool],
        over: Callable[[], bytes | None],
        after: Point | None,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        super().__init__(media_type="text/event-stream")
        # "no": nginx must not collect events into larger pieces
        self.headers.update({"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._feed = feed
        self._wants = wants
        self._event_of = event_of
        self._first = first
        self._last = last
        self._over = over
        self._after = after
        self._heartbeat_s = heartbeat_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        loop, woken = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(woken.set)

        follower = Follower(wake, self._wants, MOST)
        try:
            point, complete = self._feed.follow(follower, self._after)
        except OverflowError:
            await Response("too many follow already: ask for the task again and again instead", 503)(
                scope, receive, send
            )
            return
        gone = asyncio.ensure_future(_gone(receive))
        try:
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await asyncio.wait_for(send(start), PATIENCE_S)
            await self._serve(send, follower, woken, gone, self._opening(point, complete))
        except TimeoutError:
            return
        finally:
            gone.cancel()
            self._feed.leave(follower)

    def _opening(self, point: str, complete: bool) -> bytes:
        opening = f"retry: {_RETRY_MS}\n\n".encode()
        event = self._first(complete)
        # what was missed follows with its own ids, so only a new beginning has this one
        return opening if event is None else opening + _framed(*event, point)

    async def _serve(
        self,
        send: Send,
        follower: Follower,
        woken: asyncio.Event,
        gone: asyncio.Future[None],
        opening: bytes,
    ) -> None:
        pieces, more = opening, True
        while more and not gone.done():
            body = {"type": "http.response.body", "body": pieces, "more_body": True}
            await asyncio.wait_for(send(body), PATIENCE_S)
            woken.clear()
            told = self._feed.take(follower)
            if not told and not follower.too_slow:
                pieces = b""
                try:
                    await asyncio.wait_for(_either(woken, gone), self._heartbeat_s)
                except TimeoutError:
                    pieces = b": still here\n\n"
                told = self._feed.take(follower)
            else:
                pieces = b""
            for one in told:
                pieces += _framed("status", self._event_of(one.status), one.point)
                if self._last(one.status):
                    more = False
                    break
            end = self._over() if more and not told else None
            if end is not None:
                pieces, more = _framed("status", end, self._feed.now()), False
            more = more and not follower.too_slow
        await asyncio.wait_for(
            send({"type": "http.response.body", "body": pieces, "more_body": False}), PATIENCE_S
        )


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _either(woken: asyncio.Event, gone: asyncio.Future[None]) -> None:
    waiting = asyncio.ensure_future(woken.wait())
    try:
        await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


def _framed(name: str, data: bytes, point: str) -> bytes:
    # JSON of one line has no line break, which would end the field
    return f"id: {point}\nevent: {name}\ndata: ".encode() + data + b"\n\n"


def as_json(content: object) -> bytes:
    """JSON on one line."""
    return orjson.dumps(content)
