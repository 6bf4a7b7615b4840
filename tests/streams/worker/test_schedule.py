"""Order of the tasks that wait."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from schemas.topics import Priority
from streams.clock import Instant
from streams.worker.job import Job, Lane
from streams.worker.protocol import EMERGENCIES_BELOW
from streams.worker.schedule import (
    AGEING_S,
    DUE_S,
    LONGEST_WAIT_S,
    Schedule,
    lane_of,
    moved_up,
    rank_of_emergency,
    ready_at,
)
from tests.streams.worker.tasks import START, job

P1, P2, P3, P4 = Priority
FAR = START + timedelta(days=2)


def at(seconds: float = 0.0) -> Instant:
    return Instant(seconds, START + timedelta(seconds=seconds))


def schedule_of(*jobs: Job, seconds: float = 0.0) -> Schedule:
    made = Schedule()
    for entry in jobs:
        entry.waiting_since = seconds
        made.add(entry, at(seconds))
    return made


def drained(schedule: Schedule, seconds: float = 0.0) -> list[Job]:
    found = []
    while (entry := schedule.next(at(seconds))) is not None:
        found.append(entry)
    return found


def test_emergencies_go_before_everything_and_by_deadline() -> None:
    routine = [job(offset=n, priority=P4, deadline=FAR) for n in range(3)]
    later, sooner = (job(offset=n, priority=P1, deadline=FAR + timedelta(n)) for n in (5, 4))
    order = drained(schedule_of(*routine, later, sooner))
    assert order[:2] == [sooner, later]
    assert [entry.rank for entry in order] == sorted(entry.rank for entry in order)


def test_classes_share_by_weight_and_none_starves() -> None:
    jobs = [job(offset=n, priority=priority, deadline=FAR) for priority in (P4, P3, P2) for n in range(300)]
    order = drained(schedule_of(*jobs))
    first = Counter(entry.task.priority for entry in order[:260])
    assert first == {P2: 160, P3: 80, P4: 20}
    assert len(order) == 900


def test_a_class_that_was_empty_gains_nothing_by_it() -> None:
    schedule = schedule_of(*(job(offset=n, priority=P2, deadline=FAR) for n in range(100)))
    for _ in range(50):
        schedule.next(at())
    for n in range(100):
        schedule.add(job(offset=n, priority=P4, deadline=FAR), at())
    first = Counter(entry.task.priority for entry in drained(schedule)[:18])
    assert first == {P2: 16, P4: 2}


def test_what_begins_later_of_a_better_class_computes_before_what_began_of_a_lesser_one() -> None:
    schedule = schedule_of(job(priority=P4, deadline=FAR))
    routine = schedule.next(at())
    schedule.add(job(priority=P2, deadline=FAR), at())
    urgent = schedule.next(at())
    assert routine is not None
    assert urgent is not None
    assert urgent.rank < routine.rank


def test_what_waits_moves_up_a_class_and_never_into_p1() -> None:
    old = job(priority=P4, deadline=FAR)
    schedule = schedule_of(old)
    for waited, lane in ((0.0, Lane.ROUTINE), (AGEING_S, Lane.NORMAL), (50 * AGEING_S, Lane.URGENT)):
        schedule.next(at(waited), room=lambda _: False)
        assert old.lane is lane


@pytest.mark.parametrize(("better", "deadline_s"), [((P2,), 180), ((P3,), 1800), ((P2, P3), 180)])
def test_what_has_moved_up_keeps_the_share_of_its_own_class_however_much_comes_of_better_ones(
    better: tuple[Priority, ...], deadline_s: int
) -> None:
    """One job is served each second, and as many come whose deadlines are earlier than those of what waits."""
    waiting = [job(offset=n, priority=P4, deadline=START + timedelta(hours=4)) for n in range(100)]
    schedule, served, seconds = schedule_of(*waiting), 0, 3000
    for second in range(seconds):
        for number, priority in enumerate(better):
            deadline = START + timedelta(seconds=second + deadline_s)
            entry = job(offset=1000 + 2 * second + number, priority=priority, deadline=deadline)
            entry.waiting_since = float(second)
            schedule.add(entry, at(second))
        entry = schedule.next(at(second)) or entry
        served += entry.task.priority is P4
    assert served == 100


def test_what_waits_for_its_hours_does_not_grow_old_meanwhile() -> None:
    entry = job(priority=P4, deadline=FAR)
    entry.waiting_since = 10_000.0
    assert lane_of(entry, at(0.0)) == (Lane.ROUTINE, 10_000.0 + AGEING_S)
    assert lane_of(entry, at(10_000.0))[0] is Lane.ROUTINE


def test_what_was_begun_moves_up_too() -> None:
    entry = job(priority=P4, deadline=FAR)
    schedule_of(entry).next(at())
    before = entry.rank
    assert not moved_up(entry, at(AGEING_S - 1))
    assert moved_up(entry, at(AGEING_S))
    assert entry.rank == pytest.approx(before - 1 + 1 / 4)
    assert not moved_up(entry, at(AGEING_S))


def test_a_deadline_that_is_near_has_a_lane_of_its_own_until_it_has_passed() -> None:
    entry = job(priority=P4, deadline=START + timedelta(seconds=DUE_S + 10))
    schedule = schedule_of(entry)
    for now, lane in ((9.0, Lane.ROUTINE), (11.0, Lane.DUE), (DUE_S + 11, Lane.ROUTINE)):
        schedule.next(at(now), room=lambda _: False)
        assert entry.lane is lane


def test_what_is_held_or_waits_for_its_time_takes_no_part() -> None:
    held, timed, free = (job(offset=n, priority=P2, deadline=FAR) for n in range(3))
    held.held, timed.ready_at = True, 20.0
    schedule = schedule_of(held, timed, free)
    assert drained(schedule) == [free]
    assert drained(schedule, 20.0) == [timed]
    held.held = False
    schedule.place(held, at(21))
    assert drained(schedule, 21.0) == [held]


def test_a_time_before_which_a_task_must_not_begin_is_bounded_and_does_not_bind_an_emergency() -> None:
    window = START + timedelta(hours=3)
    assert ready_at(job(priority=P4, not_before=window), at(5)) == 3 * 3600
    assert ready_at(job(priority=P4, not_before=START + timedelta(days=9999)), at(5)) == 5 + LONGEST_WAIT_S
    assert ready_at(job(priority=P4, not_before=START - timedelta(days=1)), at(5)) == 5
    assert ready_at(job(priority=P1, not_before=window), at(5)) == 0
    assert ready_at(job(priority=P1, not_before=START + timedelta(seconds=7), attempt=2), at(5)) == 7


def test_what_nobody_wants_any_more_is_told_apart_even_while_it_is_held() -> None:
    over, held = (job(offset=n, useful_until=START + timedelta(seconds=30)) for n in range(2))
    held.held = True
    schedule = schedule_of(over, held)
    assert schedule.over(at(29)) == []
    assert set(schedule.over(at(30))) == {over, held}
    assert len(schedule) == 0
    assert drained(schedule, 30.0) == []


def test_where_nothing_may_overtake_only_the_oldest_begins() -> None:
    jobs = [job(1, P3, offset=n, deadline=FAR - timedelta(hours=n)) for n in range(3)]
    schedule = schedule_of(*jobs)
    schedule.restrict(jobs[0].partition, 0, at())
    assert schedule.next(at()) is jobs[0]
    assert schedule.next(at()) is None
    schedule.restrict(jobs[0].partition, None, at())
    assert drained(schedule) == [jobs[2], jobs[1]]


def test_a_partition_whose_book_is_begun_anew_does_not_wait_for_an_offset_of_the_old_one() -> None:
    schedule = Schedule()
    schedule.restrict(job(offset=0).partition, 3, at())
    schedule.add(job(offset=8), at())
    assert schedule.next(at()) is None
    schedule.unrestrict(at())
    assert schedule.next(at()) is not None


def test_an_emergency_that_has_no_deadline_to_speak_of_is_one_to_the_computing_process_too() -> None:
    latest = job(priority=P1, deadline=datetime.max.replace(tzinfo=UTC))
    assert rank_of_emergency(latest) < EMERGENCIES_BELOW


def test_what_may_not_begin_for_another_reason_costs_its_class_no_share() -> None:
    blocked = [job(offset=n, priority=P2, deadline=FAR) for n in range(200)]
    free = [job(offset=1000 + n, priority=P2, deadline=FAR + timedelta(1)) for n in range(8)]
    routine = [job(offset=n, priority=P4, deadline=FAR) for n in range(8)]
    schedule = schedule_of(*blocked, *free, *routine)

    def wait(entry: Job) -> float:
        return 10.0 if entry in blocked else 0.0

    first = [schedule.next(at(), wait=wait) for _ in range(9)]
    assert Counter(entry.task.priority for entry in first if entry) == {P2: 8, P4: 1}
    assert len([entry for entry in drained(schedule, 10.0) if entry in blocked]) == 200


def test_a_job_that_was_taken_out_does_not_come_back() -> None:
    first, second = job(offset=1), job(offset=2)
    schedule = schedule_of(first, second)
    schedule.remove(first)
    schedule.remove(first)
    assert drained(schedule) == [second]
    assert len(schedule) == 0


def test_memory_does_not_grow_with_moves() -> None:
    entry = job(priority=P4, deadline=FAR)
    schedule = schedule_of(entry)
    for _ in range(10_000):
        schedule.place(entry, at())
    assert len(schedule._lanes[Lane.ROUTINE]) < 2000
    assert len(schedule._timers) < 2000
    assert drained(schedule) == [entry]
