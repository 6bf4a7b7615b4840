"""Metrics of this process for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from dashboards.api.context import Context

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(context: Context) -> Response:
    """All metrics in the Prometheus text format."""
    return Response(context.telemetry.exposition(), headers={"content-type": CONTENT_TYPE_LATEST})
