from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest

from schemas.topics import Priority
from streams.worker.backlog import AGEING_S, Backlog, Partition
from tests.streams.worker.tasks import START, job

P1, P2, P3, P4 = Priority


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_class_comes_first_and_then_the_deadline() -> None:
    backlog = Backlog(Clock())
    late = job(0, P3, deadline=START + timedelta(minutes=9))
    soon = job(1, P3, deadline=START + timedelta(minutes=1))
    jobs = [job(0, P4, deadline=START), late, soon, job(0, P1), job(0, P2)]
    for entry in jobs:
        backlog.add(entry)
    taken = [backlog.take() for _ in jobs]
    assert taken == [jobs[3], jobs[4], soon, late, jobs[0]]
    assert backlog.running() == 5


def test_routine_work_moves_up_while_it_waits_but_never_before_an_emergency() -> None:
    clock = Clock()
    backlog = Backlog(clock)
    old = job(0, P4, deadline=START)
    backlog.add(old)
    clock.now += 2 * AGEING_S
    backlog.add(job(0, P2))
    backlog.add(emergency := job(0, P1, deadline=START + timedelta(days=1)))
    assert backlog.take() is emergency
    assert backlog.take() is old
    clock.now += 100 * AGEING_S
    assert old.rank(clock.now) == 2


def test_a_partition_holds_one_job_until_it_is_answered() -> None:
    backlog = Backlog(Clock())
    backlog.add(first := job(0))
    with pytest.raises(ValueError, match=r"inference\.tasks\.p3-normal\[0\]@8"):
        backlog.add(job(0, offset=8))
    assert backlog.take() is first
    with pytest.raises(ValueError, match="has a job already"):
        backlog.add(job(0, offset=8))
    backlog.done(first)
    backlog.add(job(0, offset=8))


def test_an_emergency_is_handed_out_in_between_and_nothing_else() -> None:
    backlog = Backlog(Clock())
    backlog.add(job(0, P2))
    assert backlog.take_emergency() is None
    backlog.add(urgent := job(0, P1))
    assert backlog.take_emergency() is urgent
    assert backlog.take_emergency() is None


def test_a_parked_job_lets_others_pass_until_its_time() -> None:
    clock = Clock()
    backlog = Backlog(clock)
    backlog.add(urgent := job(0, P1))
    backlog.add(other := job(0, P4))
    assert backlog.take() is urgent
    backlog.park(urgent, 5)
    assert backlog.take() is other
    clock.now += 5
    assert backlog.take() is urgent


def test_a_parked_job_is_taken_by_itself_when_its_time_comes() -> None:
    backlog = Backlog(time.monotonic)
    backlog.add(parked := job(0))
    assert backlog.take() is parked
    backlog.park(parked, 0.05)
    assert backlog.take() is parked


def test_dropped_jobs_are_abandoned_and_leave_no_trace() -> None:
    backlog = Backlog(Clock())
    backlog.add(running := job(0))
    assert backlog.take() is running
    backlog.add(waiting := job(1))
    backlog.add(kept := job(2))
    backlog.drop([running.partition, waiting.partition, Partition("other", 0)])
    assert running.abandoned.is_set()
    assert waiting.abandoned.is_set()
    assert not kept.abandoned.is_set()
    backlog.park(running, 0)
    backlog.done(running)
    backlog.add(again := job(0))
    assert {backlog.take(), backlog.take()} == {again, kept}


def test_closing_wakes_who_waits() -> None:
    backlog = Backlog(time.monotonic)
    taken: list[object] = ["nothing yet"]
    thread = threading.Thread(target=lambda: taken.append(backlog.take()))
    thread.start()
    backlog.close()
    thread.join(30)
    assert taken == ["nothing yet", None]
    backlog.add(job(0, P1))
    assert backlog.take_emergency() is None
