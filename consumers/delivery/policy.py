"""Error and number of the attempt → what to do with the result. Pure.

::

    DestinationUnavailable     Wait: put it back, pause, probe; not counted as an attempt
    SourceUnavailable          WaitForSource: put it back; results of other sources go on; not counted either, but
                               DeadLetter once it waited longer than its writer's patience, if that has an end
    InvalidMessage             DeadLetter at once
    PermanentRejection         DeadLetter at once
    TransientFailure           Retry after 5, 30, 120 s, then DeadLetter
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from consumers.destination import SourceUnavailable
from schemas.errors import DestinationUnavailable, InvalidMessage, PermanentRejection, ScanstreamError


@dataclass(frozen=True)
class Wait:
    """Nothing is wrong with the result: keep it and wait for the destination."""

    retry_after_s: float | None = None


@dataclass(frozen=True)
class WaitForSource:
    """Nothing is wrong with the result or the destination: keep it until its source is back."""

    retry_after_s: float | None = None


@dataclass(frozen=True)
class Retry:
    """Try again on the retry topic, not before this moment."""

    not_before: datetime


@dataclass(frozen=True)
class DeadLetter:
    """Give up on this result."""


Step = Wait | WaitForSource | Retry | DeadLetter


def after_failure(
    error: ScanstreamError,
    attempt: int,
    now: datetime,
    delays_s: Sequence[float],
    *,
    patience_ends: datetime | None = None,
) -> Step:
    """Decide about a result whose delivery failed.

    Parameters
    ----------
    error
        What the destination raised.
    attempt
        1 for the first.
    now
        Present time, aware.
    delays_s
        Seconds before attempt 2, 3, …
    patience_ends
        Until when a result waits for its source; ``None`` for as long as it takes.
    """
    if isinstance(error, SourceUnavailable):
        if patience_ends is not None and now >= patience_ends:
            return DeadLetter()
        return WaitForSource(error.retry_after_s)
    if isinstance(error, DestinationUnavailable):
        return Wait(error.retry_after_s)
    if isinstance(error, InvalidMessage | PermanentRejection) or attempt > len(delays_s):
        return DeadLetter()
    return Retry(now + timedelta(seconds=delays_s[attempt - 1]))
