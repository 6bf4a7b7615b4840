"""Records of the live view → what requesters see of a task. Pure but for the view that it asks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

from dashboards.api.inference_models import PublicState, TaskLinks, TaskResource
from dashboards.live.records import TaskView
from dashboards.live.view import LiveView
from dashboards.ups.identity import workitem_uid
from schemas.events import TaskState
from schemas.instants import later

#: What requesters see of each state: an attempt that failed for now makes no state of its own.
PUBLIC: Final = {state: PublicState(state.value) for state in TaskState if state is not TaskState.RETRY_WAIT} | {
    TaskState.RETRY_WAIT: PublicState.QUEUED
}


def links(task: TaskView, root: str) -> TaskLinks:
    """Links of a task; ``root`` is the address of the service."""
    own = f"{root}/v1/tasks/{task.task_id}"
    return TaskLinks(
        self=own,
        results=f"{own}/results",
        cancel=f"{own}/cancel",
        events=f"{own}/events",
        fhir=f"{root}/fhir/Task/{task.task_id}",
        ups=f"{root}/workitems/{workitem_uid(task)}",
    )


def waiting_for(task: TaskView) -> Literal["worker", "retry", "release"] | None:
    """What a queued task waits for."""
    if PUBLIC[task.state] is not PublicState.QUEUED:
        return None
    if task.held is not None:
        return "release"
    return "retry" if task.state is TaskState.RETRY_WAIT else "worker"


def resource(
    task: TaskView, view: LiveView, now: datetime, root: str, remarks: Sequence[str] = ()
) -> TaskResource:
    """Task for requesters.

    Parameters
    ----------
    task
        What is known.
    view
        What waits beside it, and how long models take.
    now
        Time, UTC.
    root
        Address of the service.
    remarks
        What the requester should know.
    """
    asked = task.asked
    position, estimate = outlook(task, view, now)
    ended = task.updated_at if task.finished else now
    if task.finished:
        ended = max((one.at for one in task.moments if one.name == task.state.value), default=task.updated_at)
    return TaskResource(
        task_id=task.task_id,
        status=PUBLIC[task.state],
        waiting_for=waiting_for(task),
        progress=task.progress,
        queue_position=position,
        estimated_completion=estimate,
        study_instance_uid=task.study_instance_uid,
        revision=task.revision,
        series_instance_uids=[] if asked is None else list(asked.series_instance_uids),
        model=task.model_name,
        model_version=None if asked is None else asked.model_version,
        priority=task.priority,
        priority_reason=task.priority_reason,
        attempt=task.attempt,
        created_at=task.created_at,
        updated_at=task.updated_at,
        deadline=task.deadline,
        overdue=ended > task.deadline,
        node=task.node,
        reason=task.reason,
        requested_by=None if asked is None else asked.requested_by,
        cancel_requested=task.cancelled is not None,
        outcome=None if task.result is None else task.result.outcome,
        remarks=list(remarks),
        links=links(task, root),
    )


def outlook(task: TaskView, view: LiveView, now: datetime) -> tuple[int | None, datetime | None]:
    """Position in the line, and when the task is likely to be done; ``None`` where that is not known.

    The order in which workers serve also knows ageing, weights and deadlines, so both are estimates.
    """
    if task.finished:
        return None, None
    place = view.place_in_line(task.task_id)
    if place is not None:
        nodes = view.nodes.answering(task.model_name, now)
        seconds = view.remaining_s(place, task.model_name, nodes)
        return place.position, None if seconds is None else _at(now, seconds)
    begun = max((one.at for one in task.moments if one.name == TaskState.PREPROCESSING.value), default=None)
    usual = view.usual_s(task.model_name)
    if begun is None or usual is None or waiting_for(task) is not None:
        return None, None
    return None, max(_at(begun, usual), _at(now, 0))


def _at(moment: datetime, seconds: float) -> datetime:
    at = later(moment, timedelta(seconds=seconds))
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
