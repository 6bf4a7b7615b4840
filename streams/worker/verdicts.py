"""What the parent says about a task by itself, and what it adds to the answer of the computing process. Pure."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from typing import Final

from schemas import ids
from schemas.events import InferenceResult, InferenceTask, TaskState, TaskStatus
from schemas.instants import later
from schemas.topics import Topic
from streams.worker.answers import Answer, status
from streams.worker.job import Partition

#: How long after its deadline a task waits for its gateway, where nobody said until when it is useful.
PATIENCE: Final = timedelta(hours=24)

_FINAL: Final = frozenset({TaskState.COMPLETED, TaskState.FAILED})


def said(
    task: InferenceTask,
    state: TaskState,
    node: str,
    now: datetime,
    reason: str,
    *about: str | int,
    progress: int | None = None,
) -> TaskStatus:
    """Status with a reason that the state alone does not tell; ``about`` makes its id another one."""
    moved = status(task, state, node, now, reason, progress=progress)
    identity = ids.event_id("status", task.task_id, task.attempt, state.value, *about)
    return dataclasses.replace(moved, event_id=identity)


def cancelled(task: InferenceTask, node: str, now: datetime, reason: str) -> Answer:
    """Nobody wants it any more: status ``cancelled``."""
    moved = status(task, TaskState.CANCELLED, node, now, reason)
    return Answer("cancelled", ((Topic.STATUS, task.task_id, moved),))


def not_useful(task: InferenceTask, node: str, now: datetime) -> Answer:
    """It is too late to be of use: status ``failed``; the model did not run."""
    since = task.useful_until or now
    reason = f"no longer useful since {since.isoformat(timespec='seconds')}: the model was not run"
    moved = status(task, TaskState.FAILED, node, now, reason)
    return Answer("not_useful", ((Topic.STATUS, task.task_id, moved),))


def given_away(task: InferenceTask, node: str, to: Partition, now: datetime, forwards: int) -> Answer:
    """Another node goes on with it: status ``queued``."""
    reason = f"given to another node, because it failed on {node}"
    moved = said(task, TaskState.QUEUED, node, now, reason, "given-away", to.topic, to.number, forwards)
    return Answer("given_away", ((Topic.STATUS, task.task_id, moved),))


def as_upgraded(answer: Answer, task: InferenceTask) -> Answer:
    """The answer with the class that the task has now; it may have been another when it was begun."""
    events = tuple(
        (topic, key, dataclasses.replace(event, priority=task.priority, deadline=task.deadline))
        if isinstance(event, InferenceResult | TaskStatus)
        else (topic, key, event)
        for topic, key, event in answer.events
    )
    retry = answer.retry
    if retry is not None:
        retry = dataclasses.replace(
            retry,
            priority=task.priority,
            priority_reason=task.priority_reason,
            rule_revision=task.rule_revision,
            deadline=task.deadline,
        )
    return dataclasses.replace(answer, events=events, retry=retry)


def patience_ends(task: InferenceTask) -> datetime:
    """Until when a task waits for its gateway, also where its deadline is at the end of time."""
    return task.useful_until or later(task.deadline, PATIENCE)


def overdue(task: InferenceTask, now: datetime) -> str | None:
    """Sentence about a deadline that has passed; ``None`` while it has not."""
    late = now - task.deadline
    if late <= timedelta(0):
        return None
    return f"{late.total_seconds():.0f} s after the deadline of {task.deadline.isoformat(timespec='seconds')}"


def is_final(answer: Answer) -> bool:
    """Whether nothing more becomes of the task."""
    return any(isinstance(event, TaskStatus) and event.state in _FINAL for _, _, event in answer.events)


def with_reason(answer: Answer, reason: str) -> Answer:
    """The answer whose final status says one thing more."""
    events = tuple(
        (topic, key, dataclasses.replace(event, reason=f"{event.reason}; {reason}" if event.reason else reason))
        if isinstance(event, TaskStatus) and event.state in _FINAL
        else (topic, key, event)
        for topic, key, event in answer.events
    )
    return dataclasses.replace(answer, events=events)
