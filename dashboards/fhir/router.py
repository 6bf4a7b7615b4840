"""HTTP → the store: the FHIR REST interactions that this facade serves.

::

    POST /                              transaction
    GET  /metadata                      capabilities
    GET  /{type}?...                    search-type
    POST /{type}/_search                search-type, its parameters as a form: no identifier in any server's log
    GET  /{type}/{id}                   read
    GET  /{type}/{id}/_history/{version}  vread

and those on inference tasks of ``task_routes``. Every answer is ``application/fhir+json``, every refusal an
OperationOutcome. The store works in worker threads, so the event loop never waits for the disk.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from dashboards.fhir import bundles, query
from dashboards.fhir.capability import statement
from dashboards.fhir.checks import check_type
from dashboards.fhir.http import FORM, FhirRoute, answer, body_of, parsed, resource_answer
from dashboards.fhir.outcome import FhirRefusal, Json
from dashboards.fhir.store import FhirStore
from dashboards.fhir.task_routes import add_task_routes
from dashboards.fhir.tasks import Tasks


def create_router(store: FhirStore, base_url: str | None = None, tasks: Tasks | None = None) -> APIRouter:
    """Routes of the facade, to be included under a prefix such as ``/fhir``.

    Parameters
    ----------
    store
        Where the resources are; the caller closes it.
    base_url
        Service base URL as clients see it; default: as the request names it.
    tasks
        Inference tasks as the log tells them; ``None``: only those that are stored.

    Returns
    -------
    APIRouter
        For ``app.include_router(router, prefix="/fhir")``.
    """
    router = APIRouter(route_class=FhirRoute, tags=["FHIR R4"], default_response_class=Response)

    def base(request: Request, tail: str) -> str:
        here = str(request.url.replace(query="", fragment="")).rstrip("/?")
        return base_url.rstrip("/") if base_url else here.removesuffix(tail)

    @router.post("", summary="Transaction", response_model=None)
    @router.post("/", include_in_schema=False, response_model=None)
    async def transaction(request: Request) -> Response:
        body = await body_of(request)
        stored = await run_in_threadpool(lambda: store.transact(parsed(body)))
        representation = "return=representation" in request.headers.get("prefer", "")
        return answer(bundles.transaction_response(stored, representation))

    @router.get("/metadata", summary="Capabilities", response_model=None)
    def metadata(request: Request) -> Response:
        return answer(statement(base(request, "/metadata")))

    if tasks is not None:
        add_task_routes(router, tasks, base)

    @router.get("/{resource_type}", summary="Search", response_model=None)
    def search(request: Request, resource_type: str) -> Response:
        return answer(found(request, resource_type, f"/{resource_type}", []))

    @router.post("/{resource_type}/_search", summary="Search by form", response_model=None)
    async def search_by_form(request: Request, resource_type: str) -> Response:
        form = parse_qsl((await body_of(request, (FORM,))).decode(errors="replace"), keep_blank_values=True)
        return answer(await run_in_threadpool(found, request, resource_type, f"/{resource_type}/_search", form))

    def found(request: Request, resource_type: str, path: str, form: list[tuple[str, str]]) -> Json:
        check_type(resource_type)
        lenient = "handling=lenient" in request.headers.get("prefer", "")
        wanted = query.parse(resource_type, [*request.query_params.multi_items(), *form], lenient)
        return bundles.searchset(base(request, path), wanted, store.search(wanted))

    @router.get("/{resource_type}/{resource_id}", summary="Read", response_model=None)
    def read(request: Request, resource_type: str, resource_id: str) -> Response:
        return resource_answer(request, store.read(resource_type, resource_id))

    @router.get("/{resource_type}/{resource_id}/_history/{version}", summary="Version read", response_model=None)
    def version_read(request: Request, resource_type: str, resource_id: str, version: str) -> Response:
        if not re.fullmatch(r"[1-9]\d{0,17}", version):
            raise FhirRefusal(404, "not-found", "there is no such version: versions are whole numbers from 1")
        return resource_answer(request, store.read(resource_type, resource_id, int(version)))

    @router.api_route(
        "/{rest:path}",
        methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        include_in_schema=False,
        response_model=None,
    )
    def other(request: Request) -> Response:
        raise FhirRefusal(404, "not-supported", f"{request.method} is not served here: see /metadata for what is")

    return router
