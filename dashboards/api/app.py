"""Live view and FHIR store → one ASGI application."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware

from dashboards.api import problems
from dashboards.api.context import ApiContext
from dashboards.api.observe import Observe
from dashboards.api.routes import health, metrics, page, studies, tasks

_ABOUT = """Radiology AI as an event stream: studies and tasks as the log tells them, and FHIR R4 under `/fhir`.
Errors are problem details (RFC 9457). `/` is the worklist for people."""


def create_app(context: ApiContext, more: Iterable[APIRouter] = ()) -> FastAPI:
    """Application over a live view.

    Parameters
    ----------
    context
        What the routes work with.
    more
        Routers of other parts of the service, such as the FHIR facade.
    """
    app = FastAPI(
        title="scanstream",
        summary="Radiology AI as an event stream on Kafka",
        description=_ABOUT,
        version=version("scanstream"),
        # FastAPI's own documentation pages load scripts from elsewhere, which a hospital network may not reach
        docs_url=None,
        redoc_url=None,
        middleware=[Middleware(Observe, telemetry=context.telemetry)],
    )
    app.state.context = context
    problems.install(app)
    for router in (health.router, tasks.router, studies.router, metrics.router, page.router, *more):
        app.include_router(router)
    return app
