"""A handler → an ASGI endpoint that is timed to its last byte and never answers with a traceback."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from producers.dicomweb.downloads import Downloads
from producers.dicomweb.problem import Problem
from producers.store.transcode import CannotDecode
from producers.telemetry import Telemetry
from schemas.logs import fields

log = logging.getLogger(__name__)

_CLIENT_WENT_AWAY = "499"
_RETRY_AFTER_S = 5


async def without_body(response: StreamingResponse) -> Response:
    """What ``HEAD`` gets: the header fields, and nothing is read for it (RFC 9110 9.3.2)."""
    if isinstance(response.body_iterator, AsyncGenerator):
        await response.body_iterator.aclose()
    head = Response(status_code=response.status_code)
    head.raw_headers = response.raw_headers
    return head


class Measured:
    """Endpoint of one route.

    Parameters
    ----------
    handler
        Makes the response, or raises :class:`~producers.dicomweb.problem.Problem`.
    template
        Path with parameter names: the label of the metric, so UIDs never are.
    telemetry
        Takes the observation.
    downloads
        Places for bodies that are streamed.
    """

    def __init__(
        self,
        handler: Callable[[Request], Awaitable[Response]],
        template: str,
        telemetry: Telemetry,
        downloads: Downloads,
    ) -> None:
        self._handler = handler
        self._template = template
        self._telemetry = telemetry
        self._downloads = downloads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        started = time.perf_counter()
        status = _CLIENT_WENT_AWAY

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            # A client that takes nothing for so long does not keep its place for ever.
            try:
                async with asyncio.timeout(self._downloads.patience_s):
                    await send(message)
            except TimeoutError:
                raise ClientDisconnect from None

        async def patient() -> Message:
            # Nor does one that stops in the middle of its request.
            try:
                async with asyncio.timeout(self._downloads.patience_s):
                    return await receive()
            except TimeoutError:
                raise ClientDisconnect from None

        request = Request(scope, patient)
        try:
            response = await self._respond(request)
            if request.method == "HEAD" and isinstance(response, StreamingResponse):
                response = await without_body(response)
            await self._send(response, scope, receive, noting)
        except ClientDisconnect:
            log.info("the client went away", extra=fields(route=self._template, method=request.method))
        except Exception as error:
            # The response has begun: that it ends before its end tells the client that something is missing.
            known = isinstance(error, Problem | CannotDecode | FileNotFoundError)
            log.error(  # noqa: TRY400 - with a traceback only where no sentence says it
                "response broken off",
                exc_info=not known,
                extra=fields(route=self._template, method=request.method, reason=str(error) if known else None),
            )
        finally:
            self._telemetry.observe(
                "scanstream_http_request_seconds",
                time.perf_counter() - started,
                route=self._template,
                method=request.method,
                status=status,
            )

    async def _send(self, response: Response, scope: Scope, receive: Receive, send: Send) -> None:
        if not isinstance(response, StreamingResponse):
            await response(scope, receive, send)
        elif self._downloads.begin():
            try:
                await response(scope, receive, send)
            finally:
                self._downloads.end()
        else:
            await without_body(response)
            problem = Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "as many clients as the gateway has room for are retrieving: ask again in a while",
                {"Retry-After": str(_RETRY_AFTER_S)},
            )
            await problem.response()(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        try:
            return await self._handler(request)
        except Problem as problem:
            return problem.response()
        except ClientDisconnect:
            raise
        except Exception:
            log.exception("request failed", extra=fields(route=self._template, method=request.method))
            return Problem(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "the gateway could not serve this request: its log says why; try again",
            ).response()
