"""Verdicts of radiologists on findings: taken in once, and told to every destination.

Whoever may reach this service may judge under a name of their choice, as long as it has no users of its own: let a
proxy say who that is.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Response

from dashboards.api.context import ApiContext, Context
from dashboards.api.models import Problem
from dashboards.api.problems import MEDIA_TYPE, NOT_FOUND
from dashboards.api.review_models import VerdictModel, VerdictRequest, verdict_of
from dashboards.api.verdict import adjudicate
from dashboards.live.records import TaskView
from dashboards.live.reviews import Review
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.events import Adjudication, InferenceResult, ResultOutcome
from schemas.topics import Topic

router = APIRouter(prefix="/findings", tags=["findings"])

_RETRY_S: Final = "5"
_CONFLICT: Final[dict[int | str, dict[str, Any]]] = {
    409: {"model": Problem, "description": "There is nothing to judge yet, or not so", "content": {MEDIA_TYPE: {}}}
}

#: Each verdict is told with all that were given before it, so they are taken in one after the other.
_one_at_a_time: Final = threading.Lock()
#: How long a verdict waits for those before it.
_PATIENCE_S: Final = 5.0


@router.post(
    "/{finding_id}/adjudication",
    status_code=201,
    responses={**NOT_FOUND, **_CONFLICT, 200: {"description": "The same verdict stands already"}},
)
def judge(finding_id: str, request: VerdictRequest, context: Context, response: Response) -> VerdictModel:
    """Confirm, reject or amend a finding; or a negative answer, by its ``result_id`` instead of a finding's.

    Sent again, the same verdict changes nothing. A later verdict on the same finding replaces it.
    """
    # while Kafka is away each takes its time, and whoever waits keeps a thread from all other requests
    if not _one_at_a_time.acquire(timeout=_PATIENCE_S):
        raise HTTPException(
            503, "verdicts before this one wait for Kafka: send it again", {"retry-after": _RETRY_S}
        )
    try:
        review = _review(context, _task(context, request.task_id), finding_id)
        try:
            result = _result(context, review)
            given = _adjudicated(result, review, finding_id, request, context)
            if given is None:
                response.status_code = 200
                return verdict_of(review.verdicts[finding_id].given)
            context.publish(Topic.REVIEW, given.study_instance_uid, given)
        except DestinationUnavailable as error:
            raise HTTPException(503, str(error), {"retry-after": _RETRY_S}) from error
        # the next verdict must see this one, however long the way through the log is
        context.view.apply(given)
    finally:
        _one_at_a_time.release()
    return verdict_of(given)


def _adjudicated(
    result: InferenceResult, review: Review, finding_id: str, request: VerdictRequest, context: ApiContext
) -> Adjudication | None:
    try:
        return adjudicate(result, review, finding_id, request, context.now())
    except InvalidMessage as error:
        raise HTTPException(409, str(error)) from error


def _task(context: ApiContext, task_id: str) -> TaskView:
    task = context.view.task(task_id)
    if task is None:
        raise HTTPException(404, f"no task {task_id} is known: GET /tasks lists those that are")
    if task.result is None:
        raise HTTPException(409, f"task {task_id} has no result yet: wait until it has completed")
    if task.result.outcome is ResultOutcome.COULD_NOT_RUN:
        raise HTTPException(409, f"task {task_id} could not run: there is nothing to judge")
    return task


def _review(context: ApiContext, task: TaskView, finding_id: str) -> Review:
    review = context.view.reviews.find(task.task_id)
    findings = task.result.findings if task.result is not None else ()
    if review is None:
        raise HTTPException(409, f"the result of task {task.task_id} is no longer at hand: it is too long ago")
    names: list[str | None] = [finding.finding_id for finding in findings]
    if finding_id not in (names or [review.result_id]):
        raise HTTPException(404, f"task {task.task_id} has no finding {finding_id}: GET /tasks lists its findings")
    return review


def _result(context: ApiContext, review: Review) -> InferenceResult:
    if review.place is None:
        raise DestinationUnavailable("the result is not at hand: try again when GET /health/ready says so")
    try:
        event = context.recall(review.place)
    except InvalidMessage as error:
        raise HTTPException(409, f"the result cannot be read again: {error}") from error
    if not isinstance(event, InferenceResult) or event.event_id != review.result_id:
        raise DestinationUnavailable("the log has another event in the place of the result: restart the API")
    return event
