"""The gateway's HTTP service: routes → handlers, each measured, and every failure an RFC 9457 problem.

``/dicom-web`` holds PS3.18, ``/artifacts`` the outputs of models, ``/health`` what a supervisor asks. Nothing in
here blocks the event loop: files are read and written in threads.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from producers.dicomweb.artifact_routes import ArtifactRoutes
from producers.dicomweb.delete_routes import DeleteRoutes
from producers.dicomweb.downloads import Downloads
from producers.dicomweb.measured import Measured
from producers.dicomweb.problem import on_http_exception
from producers.dicomweb.qido_routes import QidoRoutes
from producers.dicomweb.rendered_routes import RenderedRoutes
from producers.dicomweb.requests import Service
from producers.dicomweb.stow_routes import StowRoutes
from producers.dicomweb.wado_routes import WadoRoutes
from producers.store import InstanceStore
from producers.telemetry import Telemetry
from producers.tolerance import read_without_validation
from schemas.settings import GatewaySettings

ROOT: Final = "/dicom-web"
_STUDY: Final = f"{ROOT}/studies/{{study}}"
_SERIES: Final = f"{_STUDY}/series/{{series}}"
_INSTANCE: Final = f"{_SERIES}/instances/{{instance}}"
_IMAGES: Final = (_STUDY, _SERIES, _INSTANCE, f"{_INSTANCE}/frames/{{frames}}")

Handler = Callable[[Request], Awaitable[Response]]


def create_app(store: InstanceStore, settings: GatewaySettings, telemetry: Telemetry) -> ASGIApp:
    """ASGI application of the gateway.

    Parameters
    ----------
    store
        Open for as long as the application is served.
    settings
        For the addresses in responses.
    telemetry
        Observes each request under its route template, never under a UID.
    """
    service = Service(store, settings.base_url(), allow_delete=settings.allow_delete)
    return create_service_app(service, telemetry)


def create_service_app(service: Service, telemetry: Telemetry) -> ASGIApp:
    """Application of a service with its own limits; see :func:`create_app`."""
    read_without_validation()
    qido, wado, stow = QidoRoutes(service), WadoRoutes(service), StowRoutes(service)
    artifacts, images, deletion = ArtifactRoutes(service), RenderedRoutes(service), DeleteRoutes(service)
    table: list[tuple[str, str, Handler]] = [
        ("GET", f"{ROOT}/studies", qido.studies),
        ("POST", f"{ROOT}/studies", stow.store),
        ("GET", f"{ROOT}/series", qido.series),
        ("GET", f"{ROOT}/instances", qido.instances),
        ("GET", _STUDY, wado.instances),
        ("POST", _STUDY, stow.store),
        ("DELETE", _STUDY, deletion.delete),
        ("DELETE", _SERIES, deletion.delete),
        ("DELETE", _INSTANCE, deletion.delete),
        ("GET", f"{_STUDY}/metadata", wado.metadata),
        ("GET", f"{_STUDY}/series", qido.series),
        ("GET", f"{_STUDY}/instances", qido.instances),
        ("GET", _SERIES, wado.instances),
        ("GET", f"{_SERIES}/metadata", wado.metadata),
        ("GET", f"{_SERIES}/instances", qido.instances),
        ("GET", _INSTANCE, wado.instances),
        ("GET", f"{_INSTANCE}/metadata", wado.metadata),
        ("GET", f"{_INSTANCE}/frames/{{frames}}", wado.frames),
        ("GET", f"{_INSTANCE}/bulkdata/{{path:path}}", wado.bulk_data),
        *(("GET", f"{resource}/rendered", images.rendered) for resource in _IMAGES),
        *(("GET", f"{resource}/thumbnail", images.thumbnail) for resource in _IMAGES),
        ("PUT", "/artifacts/{sha256}", artifacts.put),
        ("GET", "/artifacts/{sha256}", artifacts.get),
        ("GET", "/health/live", _alive),
        ("GET", "/health/ready", _readiness(service)),
    ]
    downloads = Downloads(service.max_downloads, service.patience_s)
    resources: dict[str, dict[str, ASGIApp]] = {}
    for method, path, handler in table:
        resources.setdefault(path, {})[method] = Measured(handler, path, telemetry, downloads)
    routes: list[BaseRoute] = [
        Route(path, _Resource(methods), methods=list(methods)) for path, methods in resources.items()
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: on_http_exception})


class _Resource:
    """All methods of one path, so that a 405 names all of them; HEAD is GET."""

    def __init__(self, methods: dict[str, ASGIApp]) -> None:
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        await self._methods[method](scope, receive, send)


async def _alive(_: Request) -> Response:
    """The process serves requests."""
    return _health("live")


def _readiness(service: Service) -> Handler:
    async def ready(_: Request) -> Response:
        """The index answers."""
        await service.store.search("study", {}, 1)
        return _health("ready")

    return ready


def _health(status: str) -> Response:
    return Response(orjson.dumps({"status": status}), media_type="application/json")
