"""Bodies of requests → at most so large: what is larger is refused with 413 before it is in memory."""

from __future__ import annotations

from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MIB: Final = 1024 * 1024
#: By the first part of the path; workitems may list images, the FHIR facade has a limit and refusals of its own.
LARGEST: Final = {"workitems": 4 * MIB, "fhir": None}
LARGEST_ELSE: Final = MIB


class LimitBody:
    """ASGI middleware that bounds what a route reads of a request.

    Parameters
    ----------
    app
        What is guarded.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; the route that reads too much of it raises."""
        limit = LARGEST.get(str(scope.get("path", "")).strip("/").partition("/")[0], LARGEST_ELSE)
        if scope["type"] != "http" or limit is None:
            await self._app(scope, receive, send)
            return
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise HTTPException(413, f"the body is larger than {limit} bytes: leave out what is not needed")
            return message

        await self._app(scope, bounded, send)
