from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.errors import InvalidMessage
from schemas.events import InferenceTask, TaskState, TaskStatus
from schemas.topics import Priority, Topic
from streams.partition import Received
from streams.retry import RetryScheduler
from tests.streams.samples import START, at, instance
from tests.streams.test_routing import series, study, tasks_for


def task(attempt: int, wait_s: float | None) -> InferenceTask:
    made = tasks_for(study(series(1, 20), requested_procedure_priority="STAT"))[0]
    not_before = None if wait_s is None else START + timedelta(seconds=wait_s)
    return replace(made, attempt=attempt, not_before=not_before, excluded_nodes=("node-1",))


def test_a_task_goes_to_its_priority_topic_when_it_is_due_and_its_offset_not_before() -> None:
    scheduler = RetryScheduler()
    scheduler.accept(Received(task(2, 5.0), 41, "00-trace"), at(0))
    assert (scheduler.blocked, scheduler.committable(42)) == (True, 41)
    assert scheduler.wake(at(4.99), False) == []
    assert scheduler.due(behind=False) == at(5).monotonic
    forwarded, status = scheduler.wake(at(5), False)
    assert (forwarded.topic, forwarded.event, forwarded.traceparent) == (Topic.TASKS_P1, task(2, 5.0), "00-trace")
    assert isinstance(status.event, TaskStatus)
    assert (status.event.state, status.event.attempt) == (TaskState.QUEUED, 2)
    assert status.event.priority is Priority.P1_EMERGENCY
    assert (scheduler.blocked, scheduler.committable(42)) == (False, 42)


def test_the_order_of_a_partition_is_kept() -> None:
    scheduler = RetryScheduler()
    scheduler.accept(Received(task(3, 15.0), 1), at(0))
    scheduler.accept(Received(task(2, 5.0), 2), at(0))
    assert scheduler.wake(at(5), False) == []
    assert scheduler.committable(3) == 1
    attempts = [out.event.attempt for out in scheduler.wake(at(15), False) if isinstance(out.event, InferenceTask)]
    assert attempts == [3, 2]


@pytest.mark.parametrize(("wait_s", "due_s"), [(None, 0.0), (-500.0, 0.0), (3600.0, 60.0)])
def test_a_clock_that_is_wrong_delays_a_task_by_a_minute_at_most(wait_s: float | None, due_s: float) -> None:
    scheduler = RetryScheduler()
    scheduler.accept(Received(task(2, wait_s), 0), at(0))
    assert scheduler.due(behind=False) == at(due_s).monotonic


def test_a_task_that_waits_for_its_hours_holds_nothing_back() -> None:
    scheduler = RetryScheduler({Priority.P4_ROUTINE})
    waits = replace(task(2, 9 * 3600), priority=Priority.P4_ROUTINE)
    scheduler.accept(Received(waits, 7), at(0))
    (forwarded, _) = scheduler.wake(at(0), False)
    assert (forwarded.topic, forwarded.event) == (Topic.TASKS_P4, waits)
    assert not scheduler.blocked
    # a retry of the same class waits as ever
    scheduler.accept(Received(replace(waits, not_before=START + timedelta(seconds=5)), 8), at(0))
    assert scheduler.due(behind=False) == at(5).monotonic


def test_an_event_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidMessage, match="InstanceStored does not belong"):
        RetryScheduler().accept(Received(instance("2.25.1", 1), 0), at(0))
