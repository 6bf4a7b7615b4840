from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from consumers.delivery.backlog import Backlog
from schemas.topics import Priority
from tests.consumers.delivery.items import item, retry_of, verdict

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=5)


def test_an_emergency_overtakes_what_was_fetched_before_it() -> None:
    backlog = Backlog()
    for offset in range(3):
        backlog.add(item(f"study-{offset}", offset, Priority.P4_ROUTINE))
    urgent = item("urgent", 3, Priority.P1_EMERGENCY)
    backlog.add(urgent)
    assert backlog.next(NOW) is urgent


def test_an_emergency_does_not_overtake_an_earlier_result_of_its_study() -> None:
    backlog = Backlog()
    first = item("study", 0, Priority.P4_ROUTINE)
    backlog.add(first)
    backlog.add(item("study", 1, Priority.P1_EMERGENCY))
    assert backlog.next(NOW) is first
    assert backlog.next(NOW) is None, "its study is under way"
    backlog.finished("study")
    assert backlog.next(NOW) is not None


def test_what_an_emergency_of_its_study_waits_for_is_as_urgent_as_that() -> None:
    backlog = Backlog()
    for offset in range(3):
        backlog.add(item(f"study-{offset}", offset, Priority.P4_ROUTINE))
    before = item("study", 3, Priority.P4_ROUTINE)
    backlog.add(before)
    backlog.add(item("study", 4, Priority.P4_ROUTINE))
    backlog.add(item("other", 5, Priority.P2_URGENT))
    emergency = item("study", 6, Priority.P1_EMERGENCY)
    backlog.add(emergency)
    order = []
    while chosen := backlog.next(NOW):
        order.append((chosen.study, chosen.offset))
        backlog.finished(chosen.study)
    assert order[:4] == [("study", 3), ("study", 4), ("study", 6), ("other", 5)]
    assert [study for study, _ in order[4:]] == ["study-0", "study-1", "study-2"]


def test_a_result_that_was_put_back_comes_first_again() -> None:
    backlog = Backlog()
    first, second = item("study", 0), item("study", 1)
    backlog.add(first)
    backlog.add(second)
    assert backlog.next(NOW) is first
    backlog.put_back(first)
    assert backlog.next(NOW) is first


def test_a_study_waits_until_its_retry_came_back_and_ended() -> None:
    backlog = Backlog()
    first, second = item("study", 0), item("study", 1)
    backlog.add(first)
    assert backlog.next(NOW) is first
    backlog.finished("study")
    backlog.expect_retry("study")
    backlog.add(second)
    assert backlog.next(NOW) is None
    again = retry_of(first, 0, LATER)
    backlog.add(again)
    assert backlog.next(NOW) is None, "not due"
    assert backlog.next(LATER) is again
    backlog.finished("study")
    assert backlog.next(LATER) is second


def test_a_retry_that_a_wrong_clock_put_off_for_years_waits_no_longer_than_any_other() -> None:
    backlog = Backlog(longest_wait_s=120.0)
    again = retry_of(item("study", 0), 0, NOW + timedelta(days=3650))
    backlog.add(again)
    assert backlog.next(NOW) is None
    assert backlog.next(NOW + timedelta(seconds=119)) is None
    assert backlog.next(NOW + timedelta(seconds=121)) is again


def test_other_studies_go_on_beside_a_retry() -> None:
    backlog = Backlog()
    backlog.add(retry_of(item("poisoned", 0), 0, LATER))
    other = item("other", 1)
    backlog.add(other)
    assert backlog.next(NOW) is other


def test_while_retries_of_an_earlier_life_are_read_nothing_newer_starts() -> None:
    backlog = Backlog()
    newer = item("study", 9)
    backlog.add(newer)
    assert backlog.next(NOW, only_retries=True) is None
    again = retry_of(item("study", 0), 0, NOW)
    backlog.add(again)
    assert backlog.next(NOW, only_retries=True) is again


def test_clearing_keeps_a_delivery_under_way_marked() -> None:
    backlog = Backlog()
    backlog.add(item("study", 0))
    backlog.next(NOW)
    backlog.clear()
    backlog.add(item("study", 0))
    assert backlog.next(NOW) is None


def test_a_verdict_follows_the_result_that_is_older() -> None:
    backlog = Backlog()
    late, early = verdict("study", 0, timestamp_ms=2000), item("study", 7, timestamp_ms=1500)
    backlog.add(late)
    backlog.add(early)
    assert backlog.next(NOW) is early
    backlog.finished("study")
    assert backlog.next(NOW) is late


def test_a_verdict_goes_behind_its_result_even_where_clocks_differ() -> None:
    backlog = Backlog()
    late, its_result = verdict("study", 0, timestamp_ms=2000), item("study", 7, timestamp_ms=9000)
    newer = item("study", 8, timestamp_ms=9001)
    for one in (late, its_result, newer):
        backlog.add(one)
    assert backlog.next(NOW) is late
    assert backlog.put_behind(late, "result-7")
    order = []
    while chosen := backlog.next(NOW):
        order.append(chosen)
        backlog.finished("study")
    assert order == [its_result, late, newer]


def test_a_verdict_whose_result_is_delivered_already_stays_under_way() -> None:
    backlog = Backlog()
    late = verdict("study", 0, timestamp_ms=2000)
    backlog.add(late)
    assert backlog.next(NOW) is late
    assert not backlog.put_behind(late, "result-7")


def test_what_waits_for_a_source_lets_others_pass_and_comes_first_again() -> None:
    backlog = Backlog()
    first, second = item("a", 0), item("b", 1)
    backlog.add(first)
    backlog.add(second)
    assert backlog.next(NOW) is first
    first.source = "gone:1"
    backlog.put_back(first)
    assert backlog.next(NOW, may_try=lambda source: source != "gone:1") is second
    assert backlog.next(NOW, may_try=lambda source: source != "gone:1") is None
    assert backlog.next(NOW) is first


def test_of_a_partition_with_a_full_book_only_the_oldest_may_go() -> None:
    backlog = Backlog()
    oldest, urgent = item("a", 0, Priority.P4_ROUTINE), item("b", 1, Priority.P1_EMERGENCY)
    backlog.add(oldest)
    backlog.add(urgent)
    assert backlog.next(NOW, only=lambda _: 0) is oldest
    assert backlog.next(NOW, only=lambda _: 0) is None
    assert backlog.next(NOW) is urgent


def test_choosing_among_a_hundred_thousand_is_quick() -> None:
    backlog = Backlog()
    for offset in range(100_000):
        backlog.add(item(f"study-{offset}", offset, Priority.P4_ROUTINE))
    urgent = item("urgent", 100_000, Priority.P1_EMERGENCY)
    backlog.add(urgent)
    assert backlog.next(NOW) is urgent
    started = time.process_time()
    for _ in range(1000):
        chosen = backlog.next(NOW)
        assert chosen is not None
        backlog.finished(chosen.study)
    assert time.process_time() - started < 2.0, "two milliseconds each, where it takes a few microseconds"


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(list(Priority))), max_size=40))
def test_every_result_comes_out_once_and_each_study_in_order(given_items: list[tuple[int, Priority]]) -> None:
    backlog = Backlog()
    for offset, (study, priority) in enumerate(given_items):
        backlog.add(item(f"study-{study}", offset, priority))
    out = []
    while chosen := backlog.next(NOW):
        out.append(chosen)
        backlog.finished(chosen.study)
    assert sorted(one.offset for one in out) == list(range(len(given_items)))
    for study in {one.study for one in out}:
        offsets = [one.offset for one in out if one.study == study]
        assert offsets == sorted(offsets)
