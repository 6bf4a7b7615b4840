"""Failures of a request → ``application/problem+json`` (RFC 9457), whose ``detail`` says what to do about it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

PROBLEM_JSON: Final = "application/problem+json"


class Problem(Exception):
    """A request that cannot be served.

    Parameters
    ----------
    status
        HTTP status code.
    detail
        One sentence: what is wrong and the remedy. Never patient identity.
    headers
        Header fields of the response, such as ``Retry-After``.
    """

    def __init__(self, status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}

    def response(self) -> Response:
        """The problem as a response."""
        code = int(self.status)
        body = {"type": "about:blank", "title": self.status.phrase, "status": code, "detail": self.detail}
        return Response(orjson.dumps(body), code, self.headers, PROBLEM_JSON)


def not_found(what: str) -> Problem:
    """404 for a study, series, instance or artifact that this gateway does not hold."""
    return Problem(
        HTTPStatus.NOT_FOUND,
        f"this gateway does not hold the {what}: check its UID, or ask the gateway named in the event",
    )


async def on_problem(_: Request, error: Exception) -> Response:
    """Starlette exception handler for :class:`Problem`."""
    assert isinstance(error, Problem)  # noqa: S101 - registered for this class only
    return error.response()


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette exception handler for routing errors (404, 405) of the framework."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    remedies = {
        404: f"there is no resource at {request.url.path}: see PS3.18 for the paths below /dicom-web",
        405: f"{request.method} is not defined for this resource: see the Allow header field",
    }
    detail = remedies.get(error.status_code, error.detail)
    return Problem(HTTPStatus(error.status_code), detail, dict(error.headers or {})).response()
