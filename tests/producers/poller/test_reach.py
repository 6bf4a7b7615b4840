from __future__ import annotations

import logging

import pytest

from producers.poller.reach import Reach
from schemas.errors import DestinationUnavailable, TransientFailure


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_day_away_is_told_once_an_hour_and_tried_every_few_minutes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock, changes = Clock(), []
    reach = Reach("source", changes.append, clock, lambda: 0.999)
    attempts = 0
    while clock.now < 86_400:
        attempts += 1
        # the detail differs, the cause is the same
        reach.lost(DestinationUnavailable(f"the source does not answer (error {attempts}): check that it runs"))
        clock.now += reach.wait_s
    assert 86_400 / 300 <= attempts < 86_400 / 300 + 12
    assert 23 <= len(caplog.records) <= 25
    reach.found()
    reach.found()
    assert caplog.records[-1].getMessage() == "the source is back"
    assert changes == [False, True, True]


def test_another_cause_is_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    reach = Reach("source", clock=clock, chance=lambda: 0.0)
    reach.lost(DestinationUnavailable("no answer"))
    clock.now += reach.wait_s
    reach.lost(TransientFailure("it refuses us"))
    assert len(caplog.records) == 2


def test_tasks_that_find_out_together_are_one_failure_and_a_wish_for_time_is_respected() -> None:
    clock = Clock()
    reach = Reach("gateway", clock=clock, chance=lambda: 0.0)
    reach.lost(DestinationUnavailable("full"), retry_after_s=30.0)
    reach.lost(DestinationUnavailable("full"))
    assert reach.wait_s == 30.0
    clock.now = 30.0
    assert reach.wait_s == 0.0
