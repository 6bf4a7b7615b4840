from __future__ import annotations

import pytest

from producers.relay_pace import Pace

OLD_S = 30.0


def test_fresh_rows_know_no_bound() -> None:
    pace = Pace(10.0, OLD_S)
    for moment in range(100):
        assert pace.allowed(OLD_S - 1, float(moment) / 1000, 500) == 500
        pace.went(500)
        assert pace.wait_s() == 0.0


@pytest.mark.parametrize("rate", [0.5, 10.0, 5000.0])
def test_old_rows_go_at_the_rate_however_often_it_is_asked(rate: float) -> None:
    pace, now, went = Pace(rate, OLD_S), 0.0, 0
    while now < 20.0:
        allowed = pace.allowed(OLD_S + 1, now, 500)
        pace.went(allowed)
        went += allowed
        now += max(pace.wait_s(), 0.001)
    assert went == pytest.approx(20.0 * rate, rel=0.1, abs=2)


def test_what_was_not_used_is_not_saved_up_for_long() -> None:
    pace = Pace(100.0, OLD_S)
    pace.went(pace.allowed(OLD_S + 1, 0.0, 500))
    assert pace.allowed(OLD_S + 1, 3600.0, 500) <= 10


def test_after_the_backlog_the_bound_is_gone_and_comes_back_with_the_next() -> None:
    pace = Pace(100.0, OLD_S)
    pace.went(pace.allowed(OLD_S + 1, 0.0, 500))
    assert pace.allowed(1.0, 0.1, 500) == 500
    pace.went(500)
    assert pace.allowed(OLD_S + 1, 0.2, 500) == 10
