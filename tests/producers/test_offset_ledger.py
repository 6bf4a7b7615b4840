from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from producers.offset_ledger import Ledger

#: ``offset.metadata.max.bytes`` of a broker.
BROKERS_LIMIT = 4096


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


def test_markers_between_finished_messages_cost_no_room() -> None:
    ledger = Ledger(0)
    ledger.take(0)
    for offset in range(2, 20_000, 2):
        ledger.take(offset)
        ledger.finish(offset)
    offset, metadata = ledger.commit()
    assert offset == 0
    assert len(metadata) < 40


def test_foreign_metadata_is_ignored() -> None:
    assert Ledger(3, "somebody's note").take(3)
    assert Ledger(3, "runs:%%%").take(3)
    assert Ledger(3, "runs:AAAA").take(3)


def test_an_urgent_message_may_overtake_a_hundred_thousand() -> None:
    ledger = Ledger(0)
    for offset in range(0, 200_000, 2):
        ledger.take(offset)
    ledger.take(200_001)
    ledger.finish(200_001)
    offset, metadata = ledger.commit()
    assert (offset, len(metadata) < 40) == (0, True)
    assert not Ledger(offset, metadata).take(200_001)


def test_metadata_stays_below_the_brokers_limit_whatever_overtakes() -> None:
    chance = random.Random(5)
    for share in (0.5, 0.1, 0.01):
        ledger, overtaken = Ledger(0), 0
        for offset in range(250_000):
            ledger.take(offset)
            if offset and chance.random() < share:
                ledger.finish(offset)
                overtaken += 1
                if overtaken % 64 == 0:
                    assert len(ledger.commit()[1]) < BROKERS_LIMIT
                    if ledger.is_full():
                        break
        assert ledger.is_full()
        assert overtaken >= 1000, "so many may overtake before the oldest must go first"


def test_a_full_book_empties_when_the_oldest_is_finished() -> None:
    ledger = Ledger(0)
    for offset in range(20_000):
        ledger.take(offset)
    chance = random.Random(5)
    for offset in sorted(chance.sample(range(1, 20_000), 6000)):
        ledger.finish(offset)
    ledger.commit()
    assert ledger.is_full()
    while ledger.is_full():
        for _ in range(50):
            assert ledger.oldest is not None
            ledger.finish(ledger.oldest)
        ledger.commit()
    assert ledger.oldest is not None


@given(st.lists(st.booleans(), max_size=200), st.integers(0, 2**40), st.randoms(use_true_random=False))
def test_no_offset_is_lost_or_repeated_over_a_crash(
    finished: list[bool], start: int, order: random.Random
) -> None:
    ledger = Ledger(start)
    for place in range(len(finished)):
        assert ledger.take(start + place)
    done = [start + place for place, is_done in enumerate(finished) if is_done]
    order.shuffle(done)
    for offset in done:
        ledger.finish(offset)
    offset, metadata = ledger.commit()
    again = Ledger(offset, metadata)
    redelivered = [start + place for place in range(offset - start, len(finished)) if again.take(start + place)]
    assert redelivered == [start + place for place, done in enumerate(finished) if not done]
