"""Restart policy: when a process that ended starts again."""

from __future__ import annotations

import pytest

from dashboards.local.restart import Again, Finished, Never, RestartPolicy, decide

POLICY = RestartPolicy(first_s=1.0, largest_s=8.0, stable_s=60.0)


@pytest.mark.parametrize(("failures", "delay_s"), [(0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0), (4, 8.0), (9999, 8.0)])
def test_the_delay_doubles_up_to_the_largest(failures: int, delay_s: float):
    assert decide(1, 0.5, failures, draw=1.0, policy=POLICY) == Again(delay_s, failures + 1)


def test_jitter_takes_up_to_half_of_the_delay_away():
    assert decide(1, 0.5, 2, draw=0.0, policy=POLICY) == Again(2.0, 3)


def test_stable_work_resets_the_backoff():
    assert decide(-9, 60.0, 7, draw=1.0, policy=POLICY) == Again(1.0, 1)


def test_a_wrong_configuration_is_never_tried_again():
    assert decide(78, 3600.0, 0, draw=0.5, has_end=True) == Never()


def test_a_process_with_an_end_is_finished_by_success_only():
    assert decide(0, 1.0, 0, draw=0.5, has_end=True) == Finished()
    assert isinstance(decide(1, 1.0, 0, draw=0.5, has_end=True), Again)


def test_a_process_without_an_end_that_ends_well_starts_again():
    assert isinstance(decide(0, 1.0, 0, draw=0.5), Again)
