"""Requests → ``scanstream_http_request_seconds`` by route template, so that no UID becomes a label."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from producers.telemetry import Telemetry


class Observe:
    """ASGI middleware that times every request.

    Parameters
    ----------
    app
        What is timed.
    telemetry
        Takes the observations.
    clock
        Seconds that never run backwards.
    """

    def __init__(self, app: ASGIApp, telemetry: Telemetry, clock: Callable[[], float] = time.perf_counter) -> None:
        self._app = app
        self._telemetry = telemetry
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and observe how long the answer took."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = self._clock()
        status = 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._telemetry.observe(
                "scanstream_http_request_seconds",
                self._clock() - started,
                route=route,
                method=scope["method"],
                status=str(status),
            )
