"""What every route of the facade does with a request and an answer: bodies, headers, refusals."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from typing import Any, Final

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute

from dashboards.fhir.outcome import FhirRefusal, Json
from dashboards.fhir.store import Stored
from dashboards.orders.order import Refused
from schemas.logs import fields

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/fhir+json"
LARGEST_BODY: Final = 16 * 1024 * 1024
FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = ("application/fhir+json", "application/json")
_READABLE: Final = (*JSON, "*/*", "application/*", "json")
#: HTTP status of a refused order → issue type (FHIR R4 ``issue-type``).
_ISSUE: Final = {404: "not-found", 409: "conflict", 412: "conflict", 503: "transient"}


class FhirRoute(APIRoute):
    """Route whose errors are OperationOutcomes."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Handler of the route, with refusals as OperationOutcomes."""
        serve = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                _acceptable(request)
                return await serve(request)
            except FhirRefusal as refusal:
                return _refused(refusal)
            except Refused as refused:
                issue = _ISSUE.get(refused.status, "business-rule")
                return _refused(FhirRefusal(refused.status, issue, refused.detail), refused.headers())
            except RecursionError:
                return _refused(FhirRefusal(400, "structure", "the body is nested too deeply: flatten it"))
            except sqlite3.Error as error:
                log.error("FHIR store failed", extra=fields(error=type(error).__name__, reason=str(error)))  # noqa: TRY400
                away = FhirRefusal(503, "transient", "the store cannot be used: check the disk, then send again")
                return _refused(away, {"Retry-After": "5"})

        return handler


def resource_answer(request: Request, stored: Stored) -> Response:
    """One version of a resource, or that the client has it already."""
    headers = {"ETag": stored.etag, "Last-Modified": formatdate(stored.updated / 1000, usegmt=True)}
    known = [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]
    if stored.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(stored.body, media_type=MEDIA_TYPE, headers=headers)


def _refused(refusal: FhirRefusal, headers: dict[str, str] | None = None) -> Response:
    return answer(refusal.outcome(), refusal.status, headers)


def answer(resource: Json, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A resource as FHIR JSON."""
    return Response(orjson.dumps(resource), status_code=status, media_type=MEDIA_TYPE, headers=headers)


def _acceptable(request: Request) -> None:
    asked = request.query_params.get("_format") or request.headers.get("accept") or "*/*"
    # a plus sign that was not escaped in _format arrives as a space
    kinds = [kind.partition(";")[0].strip().lower().replace(" ", "+") for kind in asked.split(",")]
    if not any(kind in _READABLE for kind in kinds):
        raise FhirRefusal(406, "not-supported", f"only {MEDIA_TYPE} is served: ask for it")


async def body_of(request: Request, kinds: tuple[str, ...] = JSON) -> bytes:
    """Body of a request of one of these media types.

    Raises
    ------
    FhirRefusal
        It is of another type, or too large.
    """
    kind = request.headers.get("content-type", kinds[0]).partition(";")[0].strip().lower()
    if kind not in kinds:
        raise FhirRefusal(415, "not-supported", f"the body must be {kinds[0]}: convert it")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise FhirRefusal(413, "too-long", f"the body is larger than {LARGEST_BODY} bytes: split the bundle")
    return bytes(body)


def parsed(body: bytes) -> object:
    """JSON of a body.

    Raises
    ------
    FhirRefusal
        It is none.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise FhirRefusal(400, "structure", "the body is not JSON: send one resource") from error
