"""Who is next, without any thread."""

from __future__ import annotations

import pytest

from engines.config_pbtxt import DynamicBatching
from schemas.topics import Priority
from streams.worker.child.choice import (
    KEPT_FREE_S,
    Limits,
    first_for_engine,
    frees_at,
    next_batch,
    next_for_thread,
    worth_waiting_s,
)
from streams.worker.child.held import Held, Place
from streams.worker.child.steps import Request
from tests.streams.worker.child.works import P1, P2, P3, P4, RowEngine, array, held, model

NETWORK, HAND, ENGINE, ELSEWHERE = Place
LIMITS = Limits()


def ready(number: int, priority: Priority = P3, rows: int = 1, at: float = 0.0, **changes: object) -> Held:
    """A task that waits for the engine."""
    request = changes.pop("request", Request(ROWS, array(number, rows)))
    return held(number, priority, place=ENGINE, begun=True, request=request, moved_at=at, **changes)


ROWS = model(RowEngine(), most_rows=4)


def numbers(batch: list[Held]) -> list[int]:
    return [entry.number for entry in batch]


def test_the_lowest_rank_goes_first_and_then_who_came_first() -> None:
    work = [held(1, P4), held(2, P3), held(3, P2), held(4, P2)]
    assert next_for_thread(work, NETWORK, LIMITS, 0) is work[2]
    work[0].rank = 1.5
    assert next_for_thread(work, NETWORK, LIMITS, 0) is work[0]
    assert next_for_thread(work, HAND, LIMITS, 0) is None


def test_nothing_of_a_lower_class_begins_a_step_while_an_emergency_is_under_way() -> None:
    routine, urgent = ready(1, P4), held(2, P1, running=True)
    assert first_for_engine([routine, urgent], 1) is None
    assert next_for_thread([held(3, P2), urgent], NETWORK, LIMITS, 1) is None
    assert frees_at([routine, urgent], 1) == KEPT_FREE_S - 1


@pytest.mark.parametrize("place", [NETWORK, ELSEWHERE])
def test_an_emergency_whose_images_or_version_do_not_come_gives_way_but_not_one_that_computes(
    place: Place,
) -> None:
    routine, urgent = ready(1, P4), held(2, P1, running=True, place=place)
    assert first_for_engine([routine, urgent], KEPT_FREE_S) is routine
    assert frees_at([routine, urgent], KEPT_FREE_S) is None
    urgent.place = HAND
    assert first_for_engine([routine, urgent], 10 * KEPT_FREE_S) is None


def test_an_aged_task_never_goes_before_an_emergency_but_before_its_betters() -> None:
    aged, urgent, normal = ready(1, P4, rank=1.1), ready(2, P1), ready(3, P3)
    assert first_for_engine([aged, urgent, normal], 0) is urgent
    assert first_for_engine([aged, normal], 0) is aged


def test_one_thread_of_each_kind_is_kept_for_emergencies() -> None:
    busy = [held(number, P3, running=True) for number in range(LIMITS.network - 1)]
    waiting, urgent = held(8, P2), held(9, P1)
    assert next_for_thread([*busy, waiting], NETWORK, LIMITS, 0) is None
    assert next_for_thread([*busy, waiting, urgent], NETWORK, LIMITS, 0) is urgent
    assert next_for_thread([*busy[1:], waiting], NETWORK, LIMITS, 0) is waiting


def test_what_is_prefetched_is_bounded_and_lower_classes_never_stand_in_the_way() -> None:
    begun = [ready(number, P3) for number in range(3)]
    few = Limits(tasks=3)
    assert next_for_thread([*begun, held(8, P3)], NETWORK, few, 0) is None
    assert next_for_thread([*begun, held(8, P4)], NETWORK, few, 0) is None
    better = held(8, P2)
    assert next_for_thread([*begun, better], NETWORK, few, 0) is better
    begun[0].bytes = 100
    little = Limits(held_bytes=100)
    assert next_for_thread([*begun, held(8, P3)], NETWORK, little, 0) is None
    assert next_for_thread([*begun, better], NETWORK, little, 0) is better, "one of each class always may"
    storing = ready(7, P3)
    storing.place = NETWORK
    assert next_for_thread([*begun, storing], NETWORK, little, 0) is storing, "what holds memory goes on"


def test_a_batch_holds_what_can_be_joined_with_the_most_urgent_one() -> None:
    other_model = model(RowEngine(), most_rows=4)
    odd = ready(5, request=Request(ROWS, {"in": array(5)["in"][:, :2]}))
    work = [
        ready(1),
        ready(2, P2),
        ready(3, request=Request(other_model, array(3))),
        ready(4, rows=3),
        odd,
        ready(6, alone=True),
        ready(7),
    ]
    assert numbers(next_batch(work, 4, 0)) == [2, 1, 7]
    assert numbers(next_batch(work, None, 0)) == [2]
    assert numbers(next_batch(work, 1, 0)) == [2]
    assert next_batch([], 4, 0) == []


def test_an_emergency_shares_a_batch_only_with_emergencies() -> None:
    work = [ready(1, P1), ready(2, P2), ready(3, P1)]
    assert numbers(next_batch(work, 4, 0)) == [1, 3]


def test_what_is_alone_waits_until_nothing_runs_and_then_nothing_begins() -> None:
    alone, other = ready(1, P2, alone=True), ready(2, P3)
    running = held(3, P4, running=True)
    assert first_for_engine([alone, other, running], 0) is None
    assert numbers(next_batch([alone, other], 4, 0)) == [1]
    alone.running = True
    assert first_for_engine([alone, other], 0) is None
    assert next_for_thread([alone, held(4)], NETWORK, LIMITS, 0) is None


@pytest.mark.parametrize(
    ("preferred", "rows", "batch"),
    [((), 3, 3), ((2,), 3, 2), ((2, 4), 4, 4), ((4,), 3, 3)],
)
def test_a_preferred_size_that_the_rows_suffice_for_goes_first(
    preferred: tuple[int, ...], rows: int, batch: int
) -> None:
    made = model(RowEngine(), 8, DynamicBatching(preferred))
    work = [ready(number, request=Request(made, array(number))) for number in range(rows)]
    assert len(next_batch(work, 8, 0)) == batch


def test_a_batch_that_is_not_full_waits_shortly_for_who_is_on_the_way_but_no_emergency_does() -> None:
    made = model(RowEngine(), 4, DynamicBatching((2,), 0.01))
    request = Request(made, array(1))
    one, coming = ready(1, request=request, at=5.0), held(2, begun=True, place=HAND, running=True)
    assert worth_waiting_s([one, coming], [one], 4, 5.004) == pytest.approx(0.006)
    assert worth_waiting_s([one, coming], [one], 4, 5.02) == 0
    assert worth_waiting_s([one], [one], 4, 5.0) == 0
    assert worth_waiting_s([one, coming], [one], None, 5.0) == 0
    assert worth_waiting_s([one, coming], [one, ready(3, request=request)], 4, 5.0) == 0
    urgent = ready(1, P1, request=request, at=5.0)
    assert worth_waiting_s([urgent, coming], [urgent], 4, 5.0) == 0
