from __future__ import annotations

from consumers.delivery.rate import Rate
from tests.consumers.delivery.test_circuit import Clock


def test_no_limit_always_allows() -> None:
    rate = Rate(None, Clock())
    for _ in range(1000):
        assert rate.allows()
        rate.take()


def test_no_more_than_its_rate_over_time() -> None:
    clock = Clock()
    rate, started = Rate(5.0, clock), 0
    for _ in range(1000):
        clock.now += 0.01
        while rate.allows():
            rate.take()
            started += 1
    assert 50 <= started <= 52, "five per second for ten seconds"


def test_after_a_pause_at_most_one_second_is_made_up_for() -> None:
    clock = Clock()
    rate = Rate(5.0, clock)
    clock.now += 3600
    burst = 0
    while rate.allows():
        rate.take()
        burst += 1
    assert burst == 5


def test_less_than_one_per_second() -> None:
    clock = Clock()
    rate = Rate(0.1, clock)
    assert rate.allows()
    rate.take()
    clock.now += 9.0
    assert not rate.allows()
    clock.now += 1.5
    assert rate.allows()
