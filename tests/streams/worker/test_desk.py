"""Tasks, commands and words of the computing process in, what is begun and written out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from schemas.events import (
    TaskState,
)
from schemas.topics import Priority
from streams.worker.job import Job, Stage
from streams.worker.protocol import Abandon, Begin, Rerank
from streams.worker.schedule import AGEING_S
from tests.streams.worker.table import FAR, P1, P2, P3, P4, Table
from tests.streams.worker.tasks import START, job


def test_as_many_of_a_class_are_under_way_as_are_prefetched_and_every_emergency() -> None:
    table = Table(prefetch=2)
    routine = [job(offset=n, priority=P4, deadline=FAR) for n in range(4)]
    urgent = [job(offset=n, priority=P2, deadline=FAR) for n in range(4)]
    emergencies = [job(offset=n, priority=P1, deadline=FAR) for n in range(4)]
    table.take(*routine)
    assert len(table.begun()) == 2
    table.take(*urgent)
    assert len(table.begun()) == 4
    table.take(*emergencies)
    assert len(table.begun()) == 8
    # nothing else begins while an emergency is under way
    table.ended(routine[0])
    assert len(table.begun()) == 8
    for entry in emergencies:
        table.ended(entry)
    table.ended(urgent[0])
    assert len(table.begun()) == 9


def test_no_class_starves_while_another_has_more_than_can_be_done() -> None:
    table = Table(prefetch=2)
    jobs = [job(offset=n, priority=priority, deadline=FAR) for priority in (P4, P3, P2) for n in range(200)]
    table.take(*jobs)
    done: list[Priority] = []
    while len(done) < 130:
        at_work = {message.task.task_id: message.rank for message in table.told if isinstance(message, Begin)}
        entry = min(
            (entry for entry in jobs if entry.stage is Stage.BEGUN), key=lambda entry: at_work[entry.task.task_id]
        )
        table.ended(entry)
        done.append(entry.task.priority)
    assert done.count(P2) == pytest.approx(80, abs=4)
    assert done.count(P3) == pytest.approx(40, abs=4)
    assert done.count(P4) == pytest.approx(10, abs=3)


def test_beside_emergencies_a_reserve_has_one_task_at_a_time() -> None:
    table = Table(prefetch=4, one_at_a_time=True)
    table.take(*(job(offset=n, priority=P2, deadline=FAR) for n in range(3)))
    assert len(table.begun()) == 1
    table.take(job(priority=P1))
    assert len(table.begun()) == 2


def test_an_emergency_suspends_what_computes_and_that_is_counted() -> None:
    table = Table()
    routine, emergency = job(priority=P4, deadline=FAR), job(priority=P1)
    table.take(routine)
    table.computing = (routine.name,)
    table.take(emergency)
    first, second = (message for message in table.told if isinstance(message, Begin))
    assert second.rank < first.rank
    assert table.metric("scanstream_worker_preemptions_total") == 1
    table.computing = (emergency.name,)
    table.take(job(priority=P1, offset=9))
    assert table.metric("scanstream_worker_preemptions_total") == 1


def test_a_task_is_answered_once_and_its_stages_are_measured() -> None:
    table = Table()
    entry = job(priority=P3)
    table.take(entry)
    table.moved(entry)
    table.ended(entry)
    table.ended(entry)
    assert [settled for _, settled in table.settled] == [entry]
    assert table.final().reason is None
    assert table.metric("scanstream_inference_seconds_count") == 1
    table.desk.written(entry, table.now)
    assert list(table.desk) == []


def test_a_missed_deadline_is_said_and_counted() -> None:
    table = Table()
    entry = job(priority=P3, deadline=START + timedelta(seconds=30))
    table.take(entry)
    table.seconds = 42
    table.ended(entry)
    assert "12 s after the deadline" in (table.final().reason or "")
    assert table.metric("scanstream_worker_deadlines_missed_total") == 1


def test_what_is_of_no_use_any_more_is_not_run() -> None:
    table = Table(prefetch=1)
    running, waiting = (job(offset=n, useful_until=START + timedelta(seconds=30)) for n in range(2))
    table.take(running, waiting)
    table.later(31)
    assert table.begun() == [running.task.task_id]
    ((settlement, about),) = table.settled
    assert about is waiting
    assert settlement.answer.outcome == "not_useful"
    assert table.final().state is TaskState.FAILED
    assert (table.final().reason or "").startswith("no longer useful since 2026-03-01T08:00:30+00:00")
    table.ended(running)  # what runs is let to its end
    assert table.final().state is TaskState.COMPLETED


def test_a_task_that_is_there_twice_is_run_one_after_the_other() -> None:
    table = Table()
    first = job(offset=1)
    second = Job(first.task, first.received._replace(offset=2))
    table.take(first, second)
    assert len(table.begun()) == 1
    table.ended(first)
    assert len(table.begun()) == 1
    table.desk.written(first, table.now)
    table.later(0)
    assert len(table.begun()) == 2
    table.ended(second)
    assert [about for _, about in table.settled] == [first, second]


def test_what_is_not_ours_any_more_is_forgotten_at_every_stage() -> None:
    table = Table(prefetch=1)
    begun, waiting, kept = (job(offset=n, deadline=FAR) for n in range(3))
    twin = Job(begun.task, begun.received._replace(offset=9))
    table.take(begun, waiting, kept, twin)
    table.desk.let_go([begun, waiting], table.now)
    assert Abandon(begun.name) in table.told
    table.ended(begun)
    assert table.settled == []
    assert set(table.desk) == {kept, twin}
    table.later(0)
    assert table.begun()[-1] == kept.task.task_id


def test_at_a_stop_what_computes_goes_on_and_the_rest_is_handed_back() -> None:
    table = Table(prefetch=2)
    computing, decoding = (job(offset=n, deadline=FAR) for n in range(2))
    table.take(computing, decoding)
    table.moved(computing)
    table.desk.stop_prefetching()
    assert [message for message in table.told if isinstance(message, Abandon)] == [Abandon(decoding.name)]
    table.desk.hand_back(table.now)
    assert table.told[-1] == Abandon(computing.name)
    assert table.desk.begun_tasks == ()
    table.desk.hand_back(table.now)
    assert [(moved.state, moved.reason) for moved in table.said[1:]] == [(TaskState.QUEUED, "node-1 stops")]
    assert table.settled == []


def test_what_was_begun_moves_up_while_it_waits_for_its_turn() -> None:
    table = Table()
    entry = job(priority=P4, deadline=FAR)
    table.take(entry)
    before = entry.rank
    table.later(AGEING_S)
    (rerank,) = (message for message in table.told if isinstance(message, Rerank))
    assert rerank.rank < before


def test_progress_is_told_now_and_then() -> None:
    table = Table()
    entry = job()
    table.take(entry)
    for progress in range(40, 80):
        table.moved(entry, TaskState.INFERRING, progress)
    assert [moved.progress for moved in table.said] == [40, 50, 60, 70]
    assert len({moved.event_id for moved in table.said}) == 4
    assert entry.stage is Stage.BEGUN
