from __future__ import annotations

import pytest

from consumers.delivery.brake import Brake, BrakeApplied
from schemas.errors import ConfigurationError


def test_dead_letters_in_a_row_stop_the_writer_before_one_too_many() -> None:
    brake = Brake(max_consecutive=3, max_share=1.0, window=100)
    for _ in range(3):
        brake.dead("g.dlq", "refused")
    with pytest.raises(BrakeApplied, match=r"3 results in a row .*refused.*g\.dlq"):
        brake.dead("g.dlq", "refused")


def test_a_delivery_ends_the_row() -> None:
    brake = Brake(max_consecutive=1, max_share=1.0, window=100)
    for _ in range(50):
        brake.dead("g.dlq", "refused")
        brake.delivered()


def test_the_share_is_judged_once_the_window_is_full() -> None:
    brake = Brake(max_consecutive=99, max_share=0.2, window=10)
    brake.dead("g.dlq", "refused")
    brake.dead("g.dlq", "refused")
    for _ in range(8):
        brake.delivered()
    with pytest.raises(BrakeApplied, match="2 of the last 10"):
        brake.dead("g.dlq", "refused")


def test_a_supervisor_must_not_restart_it() -> None:
    assert issubclass(BrakeApplied, ConfigurationError)
