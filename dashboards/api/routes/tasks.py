"""Inference tasks: one, or a list."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from dashboards.api import present
from dashboards.api.context import Context
from dashboards.api.models import Task, TaskList
from dashboards.api.problems import NOT_FOUND
from schemas.events import TaskState

router = APIRouter(prefix="/tasks", tags=["tasks"])


@router.get("/{task_id}", responses=NOT_FOUND)
async def task(task_id: str, context: Context) -> Task:
    """State, timeline, result and deliveries of one task."""
    found = context.view.task(task_id)
    if found is None:
        raise HTTPException(404, f"no task {task_id} is known: GET /tasks lists those that are")
    study = context.view.study(found.study_instance_uid)
    review = context.view.reviews.find(task_id)
    return present.task(found, context.now(), None if study is None else study.arrived_at, review)


@router.get("")
async def tasks(
    context: Context,
    study: Annotated[str | None, Query(description="StudyInstanceUID")] = None,
    state: TaskState | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> TaskList:
    """Tasks by urgency and deadline, open ones first; all, of one study, or in one state."""
    if study is None:
        found = context.view.tasks(state)
    else:
        known = context.view.study(study)
        found = [] if known is None else context.view.tasks_of(known)
        found = [item for item in found if state is None or item.state is state]
    now = context.now()
    review = context.view.reviews.find
    page = [present.task(item, now, review=review(item.task_id)) for item in found[:limit]]
    return TaskList(total=len(found), tasks=page)
