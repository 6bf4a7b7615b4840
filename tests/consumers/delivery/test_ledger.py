from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consumers.delivery.ledger import SPAN, Ledger


def test_in_order_commits_the_next_offset_without_metadata() -> None:
    ledger = Ledger()
    for offset in (0, 1, 2):
        assert ledger.take(offset)
        ledger.finish(offset)
    assert ledger.commit() == (3, "")


def test_overtaken_offset_holds_the_commit_and_the_others_are_remembered() -> None:
    ledger = Ledger(10)
    for offset in (10, 12, 13):
        assert ledger.take(offset)
    ledger.finish(13)
    offset, metadata = ledger.commit()
    assert offset == 10
    after_crash = Ledger(offset, metadata)
    assert [after_crash.take(again) for again in (10, 12, 13, 15)] == [True, True, False, True]


def test_gaps_of_transaction_markers_are_passed_over() -> None:
    ledger = Ledger(5)
    ledger.take(7)
    ledger.finish(7)
    assert ledger.commit()[0] == 8


def test_foreign_metadata_is_ignored() -> None:
    assert Ledger(3, "somebody's note").take(3)
    assert Ledger(3, "done:%%%").take(3)


def test_metadata_stays_below_the_brokers_limit() -> None:
    ledger = Ledger(0)
    offset = 0
    while not ledger.is_full():
        ledger.take(offset)
        if offset:
            ledger.finish(offset)
        offset += 1
    assert offset == SPAN
    assert len(ledger.commit()[1]) < 4096


@given(st.lists(st.booleans(), max_size=200), st.integers(0, 2**40))
def test_no_offset_is_lost_or_repeated_over_a_crash(finished: list[bool], start: int) -> None:
    ledger = Ledger(start)
    for place, done in enumerate(finished):
        ledger.take(start + place)
        if done:
            ledger.finish(start + place)
    offset, metadata = ledger.commit()
    again = Ledger(offset, metadata)
    redelivered = [start + place for place in range(offset - start, len(finished)) if again.take(start + place)]
    assert redelivered == [start + place for place, done in enumerate(finished) if not done]
