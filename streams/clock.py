"""The two clocks of a moment: monotonic for timers, UTC for records. Decisions take a moment, never a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple


class Instant(NamedTuple):
    """One moment.

    Attributes
    ----------
    monotonic
        Seconds; never steps back, so a corrected system clock neither fires nor freezes a timer.
    utc
        Time of day for records, with the millisecond precision of the events.
    """

    monotonic: float
    utc: datetime


Clock = Callable[[], Instant]


def system_clock() -> Instant:
    """The present moment."""
    return Instant(time.monotonic(), whole_milliseconds(datetime.now(UTC)))


def whole_milliseconds(moment: datetime) -> datetime:
    """The moment as an event can carry it."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
