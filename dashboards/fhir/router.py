"""HTTP → the store: the FHIR REST interactions that this facade serves.

::

    POST /                              transaction
    GET  /metadata                      capabilities
    GET  /{type}?...                    search-type
    POST /{type}/_search                search-type, its parameters as a form: no identifier in any server's log
    GET  /{type}/{id}                   read
    GET  /{type}/{id}/_history/{version}  vread

Every answer is ``application/fhir+json``, every refusal an OperationOutcome. The store works in worker threads, so
the event loop never waits for the disk.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute

from dashboards.fhir import bundles, query
from dashboards.fhir.capability import statement
from dashboards.fhir.checks import check_type
from dashboards.fhir.outcome import FhirRefusal, Json
from dashboards.fhir.store import FhirStore, Stored
from schemas.logs import fields

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/fhir+json"
LARGEST_BODY: Final = 16 * 1024 * 1024
FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = ("application/fhir+json", "application/json")
_READABLE: Final = (*_JSON, "*/*", "application/*", "json")


class _FhirRoute(APIRoute):
    """Route whose errors are OperationOutcomes."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        serve = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                _acceptable(request)
                return await serve(request)
            except FhirRefusal as refusal:
                return _refused(refusal)
            except RecursionError:
                return _refused(FhirRefusal(400, "structure", "the body is nested too deeply: flatten it"))
            except sqlite3.Error as error:
                log.error("FHIR store failed", extra=fields(error=type(error).__name__, reason=str(error)))  # noqa: TRY400
                away = FhirRefusal(503, "transient", "the store cannot be used: check the disk, then send again")
                return _refused(away, {"Retry-After": "5"})

        return handler


def create_router(store: FhirStore, base_url: str | None = None) -> APIRouter:
    """Routes of the facade, to be included under a prefix such as ``/fhir``.

    Parameters
    ----------
    store
        Where the resources are; the caller closes it.
    base_url
        Service base URL as clients see it; default: as the request names it.

    Returns
    -------
    APIRouter
        For ``app.include_router(router, prefix="/fhir")``.
    """
    router = APIRouter(route_class=_FhirRoute, tags=["FHIR R4"], default_response_class=Response)

    def base(request: Request, tail: str) -> str:
        here = str(request.url.replace(query="", fragment="")).rstrip("/?")
        return base_url.rstrip("/") if base_url else here.removesuffix(tail)

    @router.post("", summary="Transaction", response_model=None)
    @router.post("/", include_in_schema=False, response_model=None)
    async def transaction(request: Request) -> Response:
        body = await _body(request)
        stored = await run_in_threadpool(lambda: store.transact(_parsed(body)))
        representation = "return=representation" in request.headers.get("prefer", "")
        return _answer(bundles.transaction_response(stored, representation))

    @router.get("/metadata", summary="Capabilities", response_model=None)
    def metadata(request: Request) -> Response:
        return _answer(statement(base(request, "/metadata")))

    @router.get("/{resource_type}", summary="Search", response_model=None)
    def search(request: Request, resource_type: str) -> Response:
        return _answer(found(request, resource_type, f"/{resource_type}", []))

    @router.post("/{resource_type}/_search", summary="Search by form", response_model=None)
    async def search_by_form(request: Request, resource_type: str) -> Response:
        form = parse_qsl((await _body(request, (FORM,))).decode(errors="replace"), keep_blank_values=True)
        return _answer(await run_in_threadpool(found, request, resource_type, f"/{resource_type}/_search", form))

    def found(request: Request, resource_type: str, path: str, form: list[tuple[str, str]]) -> Json:
        check_type(resource_type)
        lenient = "handling=lenient" in request.headers.get("prefer", "")
        wanted = query.parse(resource_type, [*request.query_params.multi_items(), *form], lenient)
        return bundles.searchset(base(request, path), wanted, store.search(wanted))

    @router.get("/{resource_type}/{resource_id}", summary="Read", response_model=None)
    def read(request: Request, resource_type: str, resource_id: str) -> Response:
        return _resource(request, store.read(resource_type, resource_id))

    @router.get("/{resource_type}/{resource_id}/_history/{version}", summary="Version read", response_model=None)
    def version_read(request: Request, resource_type: str, resource_id: str, version: str) -> Response:
        if not re.fullmatch(r"[1-9]\d{0,17}", version):
            raise FhirRefusal(404, "not-found", "there is no such version: versions are whole numbers from 1")
        return _resource(request, store.read(resource_type, resource_id, int(version)))

    @router.api_route(
        "/{rest:path}",
        methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        include_in_schema=False,
        response_model=None,
    )
    def other(request: Request) -> Response:
        raise FhirRefusal(404, "not-supported", f"{request.method} is not served here: see /metadata for what is")

    return router


def _resource(request: Request, stored: Stored) -> Response:
    headers = {"ETag": stored.etag, "Last-Modified": formatdate(stored.updated / 1000, usegmt=True)}
    known = [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]
    if stored.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(stored.body, media_type=MEDIA_TYPE, headers=headers)


def _refused(refusal: FhirRefusal, headers: dict[str, str] | None = None) -> Response:
    return _answer(refusal.outcome(), refusal.status, headers)


def _answer(resource: Json, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(resource), status_code=status, media_type=MEDIA_TYPE, headers=headers)


def _acceptable(request: Request) -> None:
    asked = request.query_params.get("_format") or request.headers.get("accept") or "*/*"
    # a plus sign that was not escaped in _format arrives as a space
    kinds = [kind.partition(";")[0].strip().lower().replace(" ", "+") for kind in asked.split(",")]
    if not any(kind in _READABLE for kind in kinds):
        raise FhirRefusal(406, "not-supported", f"only {MEDIA_TYPE} is served: ask for it")


async def _body(request: Request, kinds: tuple[str, ...] = _JSON) -> bytes:
    kind = request.headers.get("content-type", kinds[0]).partition(";")[0].strip().lower()
    if kind not in kinds:
        raise FhirRefusal(415, "not-supported", f"the body must be {kinds[0]}: convert it")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise FhirRefusal(413, "too-long", f"the body is larger than {LARGEST_BODY} bytes: split the bundle")
    return bytes(body)


def _parsed(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise FhirRefusal(400, "structure", "the body is not JSON: send one Bundle") from error
