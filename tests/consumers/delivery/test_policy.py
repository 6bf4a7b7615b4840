from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from consumers.delivery.policy import DeadLetter, Retry, Wait, WaitForSource, after_failure
from consumers.destination import SourceUnavailable
from schemas.errors import (
    DestinationUnavailable,
    InvalidInput,
    InvalidMessage,
    PermanentRejection,
    ScanstreamError,
    TransientFailure,
    UnknownSchema,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DELAYS = (5.0, 30.0, 120.0)


@pytest.mark.parametrize("error", [InvalidMessage, UnknownSchema, InvalidInput, PermanentRejection])
def test_what_can_never_succeed_is_dead_lettered_at_once(error: type[ScanstreamError]) -> None:
    assert after_failure(error("no"), 1, NOW, DELAYS) == DeadLetter()


def test_a_destination_that_is_away_is_waited_for_however_often() -> None:
    assert after_failure(DestinationUnavailable("away", 7.0), 99, NOW, DELAYS) == Wait(7.0)


def test_a_gateway_that_is_away_holds_up_only_its_own_results() -> None:
    assert after_failure(SourceUnavailable("away", 7.0), 99, NOW, DELAYS) == WaitForSource(7.0)


def test_a_transient_failure_is_retried_with_growing_waits_and_then_given_up() -> None:
    steps = [after_failure(TransientFailure("again"), attempt, NOW, DELAYS) for attempt in (1, 2, 3, 4)]
    assert steps == [*(Retry(NOW + timedelta(seconds=delay)) for delay in DELAYS), DeadLetter()]


def test_a_source_is_waited_for_without_limit_or_until_patience_ends() -> None:
    error = SourceUnavailable("away", 3.0)
    assert after_failure(error, 1, NOW, DELAYS) == WaitForSource(3.0)
    later = NOW + timedelta(seconds=1)
    assert after_failure(error, 1, NOW, DELAYS, patience_ends=later) == WaitForSource(3.0)
    assert after_failure(error, 1, later, DELAYS, patience_ends=later) == DeadLetter()
