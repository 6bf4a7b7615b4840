"""HTTP → inference tasks: what may be done with a Task beyond reading what is stored.

::

    GET   /Task/{id}      read: from the log, or what the writer stored of it
    GET   /Task?...       search-type, over both
    POST  /Task           create: the order of an inference; the same identifier again is the same Task
    PUT   /Task/{id}      update: status cancelled, on-hold, ready; a more urgent priority
    PATCH /Task/{id}      the same by JSON Patch (RFC 6902)

A change is asked of the worker that holds the task, so the answer may still have the status of before; its
``businessStatus`` then says ``cancel-requested``. ``If-Match`` guards against changes of others.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from dashboards.fhir import bundles, query
from dashboards.fhir.checks import check_resource
from dashboards.fhir.http import FORM, JSON, MEDIA_TYPE, answer, body_of, parsed
from dashboards.fhir.live_task import etag_of, version_of
from dashboards.fhir.outcome import FhirRefusal, Json
from dashboards.fhir.task_request import reason_of
from dashboards.fhir.tasks import Current, Tasks

_PATCH: Final = ("application/json-patch+json",)
_PLACES: Final = {"/status": "status", "/priority": "priority", "/statusReason/text": "reason"}


def add_task_routes(router: APIRouter, tasks: Tasks, base: Callable[[Request, str], str]) -> None:
    """Add the routes; ``base`` gives the service base URL of a request with this tail."""

    @router.get("/Task", summary="Search for inference tasks", response_model=None)
    def search(request: Request) -> Response:
        return answer(found(request, "/Task", []))

    @router.post("/Task/_search", summary="Search for inference tasks by form", response_model=None)
    async def search_by_form(request: Request) -> Response:
        form = parse_qsl((await body_of(request, (FORM,))).decode(errors="replace"), keep_blank_values=True)
        return answer(await run_in_threadpool(found, request, "/Task/_search", form))

    def found(request: Request, path: str, form: list[tuple[str, str]]) -> Json:
        lenient = "handling=lenient" in request.headers.get("prefer", "")
        wanted = query.parse("Task", [*request.query_params.multi_items(), *form], lenient)
        return bundles.searchset(base(request, path), wanted, tasks.search(wanted))

    @router.get("/Task/{task_id}", summary="Read an inference task", response_model=None)
    def read(request: Request, task_id: str) -> Response:
        return _current(request, tasks.read(task_id))

    @router.get("/Task/{task_id}/_history/{version}", summary="Version of an inference task", response_model=None)
    def version_read(request: Request, task_id: str, version: str) -> Response:
        return _current(request, tasks.version(task_id, version))

    @router.post("/Task", summary="Order an inference", status_code=201, response_model=None)
    async def create(request: Request) -> Response:
        resource = check_resource(parsed(await body_of(request)), "Task", "Task")
        identifier = _only_identifier(request.headers.get("if-none-exist"))
        placed = await run_in_threadpool(tasks.create, resource, identifier)
        task = placed.task
        current = await run_in_threadpool(tasks.read, task.task_id)
        headers = {
            "Location": f"{base(request, '/Task')}/Task/{task.task_id}/_history/{version_of(task)}",
            "ETag": etag_of(task),
            "Last-Modified": _http_date(current),
        }
        return Response(current.stored.body, 201 if placed.new else 200, headers, MEDIA_TYPE)

    @router.put("/Task/{task_id}", summary="Cancel, hold or release an inference task", response_model=None)
    async def update(request: Request, task_id: str) -> Response:
        resource = check_resource(parsed(await body_of(request)), "Task", "Task")
        if resource.get("id") not in (None, task_id):
            raise FhirRefusal(400, "value", "the resource has another id than the URL", "Task.id")
        text = reason_of(resource.get("statusReason"))
        return await changed(request, task_id, resource["status"], resource.get("priority"), text)

    @router.patch("/Task/{task_id}", summary="Change an inference task by JSON Patch", response_model=None)
    async def patch(request: Request, task_id: str) -> Response:
        operations = parsed(await body_of(request, (*_PATCH, *JSON)))
        current = await run_in_threadpool(tasks.read, task_id)
        wanted = _patched(operations, parsed(current.stored.body))
        reason = wanted.get("reason")
        return await changed(request, task_id, wanted.get("status"), wanted.get("priority"), reason)

    @router.delete("/Task/{task_id}", summary="Refused: a Task is cancelled", response_model=None)
    def delete(task_id: str) -> Response:
        tasks.read(task_id)
        refusal = FhirRefusal(405, "not-supported", "a Task is kept: PUT or PATCH its status to cancelled instead")
        return answer(refusal.outcome(), 405, {"Allow": "GET, PUT, PATCH"})

    async def changed(request: Request, task_id: str, status: Any, priority: Any, reason: Any) -> Response:
        said = reason[:500] if isinstance(reason, str) and reason.strip() else None
        tag = request.headers.get("if-match")
        return _current(request, await run_in_threadpool(tasks.change, task_id, status, priority, said, tag))


def _current(request: Request, current: Current) -> Response:
    headers = {"ETag": current.etag, "Last-Modified": _http_date(current)}
    known = [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]
    if request.method == "GET" and current.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(current.stored.body, media_type=MEDIA_TYPE, headers=headers)


def _http_date(current: Current) -> str:
    return formatdate(current.stored.updated / 1000, usegmt=True)


def _only_identifier(criteria: str | None) -> str | None:
    """``system|value`` of a conditional create."""
    if criteria is None:
        return None
    pairs = parse_qsl(criteria.lstrip("?"))
    if len(pairs) != 1 or pairs[0][0] != "identifier":
        raise FhirRefusal(412, "not-supported", "If-None-Exist may only be identifier=system|value: correct it")
    return pairs[0][1]


def _patched(operations: object, resource: object) -> dict[str, Any]:
    """New values of the elements that a client may change."""
    found: dict[str, Any] = {}
    for index, one in enumerate(operations if isinstance(operations, list) else [None]):
        where = f"operation {index}"
        if not isinstance(one, dict) or not isinstance(resource, dict):
            raise FhirRefusal(400, "structure", "a JSON Patch is a list of operations: send one")
        name, verb = _PLACES.get(str(one.get("path"))), one.get("op")
        if verb == "test" and name in ("status", "priority"):
            if resource.get(name) != one.get("value"):
                raise FhirRefusal(412, "conflict", f"the test of {where} does not hold: read the Task again")
        elif verb in ("replace", "add") and name is not None:
            found[name] = one.get("value")
        else:
            raise FhirRefusal(
                422, "not-supported", f"{where}: only {', '.join(_PLACES)} may be tested, added or replaced"
            )
    return found
