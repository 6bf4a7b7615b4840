"""Somebody asks for an inference: taken in once under their key, and answered with where to follow it."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Request, Response

from dashboards.api import present_task
from dashboards.api.context import Context
from dashboards.api.inference_models import TaskResource
from dashboards.api.models import Problem
from dashboards.api.problems import MEDIA_TYPE
from dashboards.orders.order import key_of
from dashboards.orders.request import InferenceRequest, order_of

router = APIRouter(prefix="/v1", tags=["inference"])


def _problem(description: str) -> dict[str, Any]:
    return {"model": Problem, "description": description, "content": {MEDIA_TYPE: {}}}


REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    404: _problem("The study or a series is not known; says what to do"),
    422: _problem("The request is wrong: the model, the callback, a field, or a key used for another request"),
    503: _problem("Kafka is away; the same request again makes no second task"),
}


@router.post("/inference", status_code=202, responses=REFUSALS)
def infer(
    body: InferenceRequest,
    request: Request,
    response: Response,
    context: Context,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            description="your own identifier of the request: sent again with the same body it is the same task, "
            "with another body it is refused",
        ),
    ] = None,
) -> TaskResource:
    """Ask for an inference.

    The answer comes as soon as the task is durable on its priority topic. Without an ``Idempotency-Key`` each
    request is a task of its own.
    """
    key = None if idempotency_key is None else key_of("api", idempotency_key)
    placed = context.desk.order(order_of(body, "api"), key)
    root = context.root_of(request)
    answer = present_task.resource(placed.task, context.view, context.now(), root, placed.remarks)
    response.headers["location"] = answer.links.self
    if not placed.new:
        response.headers["idempotency-replayed"] = "true"
    return answer
