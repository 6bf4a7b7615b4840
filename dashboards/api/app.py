"""Live view and FHIR store → one ASGI application."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware import Middleware

from dashboards.api import problems
from dashboards.api.context import ApiContext
from dashboards.api.limits import LimitBody
from dashboards.api.observe import Observe
from dashboards.api.routes import (
    adjudications,
    escalations,
    events,
    fleet,
    health,
    inference,
    metrics,
    page,
    studies,
    task_requests,
    tasks,
    ups,
    ups_channel,
)
from dashboards.fhir.router import create_router
from dashboards.fhir.store import FhirStore
from dashboards.fhir.tasks import Tasks
from producers.tolerance import read_without_validation

_ABOUT = """Radiology AI as an event stream: studies and tasks as the log tells them, and FHIR R4 under `/fhir`.
Errors are problem details (RFC 9457). `/` is the worklist for people."""


def create_app(context: ApiContext, fhir_store: FhirStore) -> FastAPI:
    """Application over a live view and a FHIR store.

    Parameters
    ----------
    context
        What the routes work with.
    fhir_store
        Resources of the FHIR facade; the caller closes it.
    """
    # a workitem of others may hold a patient's attributes, and what is wrong with them must not stand in the log
    read_without_validation()
    app = FastAPI(
        title="scanstream",
        summary="Radiology AI as an event stream on Kafka",
        description=_ABOUT,
        version=version("scanstream"),
        # FastAPI's own documentation pages load scripts from elsewhere, which a hospital network may not reach
        docs_url=None,
        redoc_url=None,
        middleware=[Middleware(Observe, telemetry=context.telemetry), Middleware(LimitBody)],
    )
    app.state.context = context
    problems.install(app)
    for router in (
        adjudications.router,
        health.router,
        inference.router,
        task_requests.router,
        events.router,
        fleet.router,
        tasks.router,
        ups.router,
        ups_channel.router,
        studies.router,
        escalations.router,
        metrics.router,
        page.router,
    ):
        app.include_router(router)
    fhir_base = None if context.public_url is None else f"{context.public_url.rstrip('/')}/fhir"
    app.include_router(
        create_router(fhir_store, fhir_base, Tasks(fhir_store, context.view, context.desk)), prefix="/fhir"
    )
    return app
