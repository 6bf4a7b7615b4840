"""Errors → ``application/problem+json`` (RFC 9457): what is wrong and what to do, never a traceback."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from dashboards.api.models import Problem
from dashboards.orders.order import Refused
from schemas.logs import fields

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"

#: ``responses`` of a route that may not find what was asked for.
NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": Problem, "description": "Nothing is known under this identifier", "content": {MEDIA_TYPE: {}}}
}


def problem(request: Request, status: int, detail: str, **members: object) -> JSONResponse:
    """Problem details; ``members`` are extension members (RFC 9457 3.2)."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
    }
    return JSONResponse(body | members, status, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Give every error of the application the form of a problem."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(Exception, _unexpected)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - the handler is registered for this class
    unread = error.status_code == 400 and error.__cause__ is not None
    detail = "the body cannot be read as JSON, or is nested too deeply: correct it" if unread else error.detail
    response = problem(request, error.status_code, detail)
    response.headers.update(error.headers or {})
    return response


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)  # noqa: S101 - the handler is registered for this class
    members = {} if error.field is None else {"fields": [error.field]}
    response = problem(request, error.status, error.detail, **members)
    response.headers.update(error.headers())
    return response


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - the handler is registered for this class
    errors = error.errors()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if any(item["loc"] == ("body",) for item in errors) and kind != "application/json":
        return problem(request, 415, f"the body must be application/json, not {kind[:100]!r}: send it as that")
    if any(item["type"] == "json_invalid" for item in errors):
        at = errors[0]["loc"][-1]
        return problem(request, 400, f"the body is no JSON, as of character {at}: correct it")
    wrong = [f"{_place(item['loc'])}: {item['msg']}" for item in errors]
    return problem(
        request,
        422,
        f"the request is wrong ({'; '.join(wrong)}): see /openapi.json for what is allowed",
        fields=[_place(item["loc"][1:]) for item in errors if len(item["loc"]) > 1],
    )


def _place(parts: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in parts)[:100]


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("request failed", exc_info=error, extra=fields(path=request.url.path))
    return problem(request, 500, "the server met an error that nobody expected: the API's log has the details")
