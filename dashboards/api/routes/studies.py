"""Studies: the triaged worklist, and one study with its way through the system."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from dashboards.api import present
from dashboards.api.context import Context
from dashboards.api.models import Study, StudyList
from dashboards.api.problems import NOT_FOUND

router = APIRouter(prefix="/studies", tags=["studies"])


@router.get("/{study_instance_uid}", responses=NOT_FOUND)
async def study(study_instance_uid: str, context: Context) -> Study:
    """Timeline, tasks, objects and report of one study."""
    found = context.view.study(study_instance_uid)
    if found is None:
        raise HTTPException(
            404, f"no study {study_instance_uid} is known: check the UID, or wait until the study is complete"
        )
    return present.study(found, context.view.tasks_of(found), context.now(), context.view.reviews.find)


@router.get("")
async def studies(context: Context, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> StudyList:
    """Worklist: open studies by urgency and deadline, then finished ones, the latest first."""
    rows = context.view.worklist()
    now = context.now()
    review = context.view.reviews.find
    page = [present.study(found, tasks, now, review) for found, tasks in rows[:limit]]
    return StudyList(total=len(rows), studies=page)
