"""Is the process there, and can its answers be trusted."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from dashboards.api.context import Context
from dashboards.api.models import Live, Problem, Ready
from dashboards.api.problems import MEDIA_TYPE, problem

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def live() -> Live:
    """Answer while the process lives; restart it when this does not answer."""
    return Live()


@router.get(
    "/ready",
    response_model=Ready,
    responses={503: {"model": Problem, "description": "What is missing", "content": {MEDIA_TYPE: {}}}},
)
async def ready(request: Request, context: Context) -> Ready | Response:
    """Answer 200 once Kafka answers and the live view has read the whole log; else 503 and what is missing."""
    missing = context.missing()
    if missing:
        return problem(request, 503, "; ".join(missing), missing=missing)
    studies, tasks = context.view.sizes()
    return Ready(studies=studies, tasks=tasks)
