"""Hours in which work of a class may begin → when a task made now may begin. Pure; the time is an argument.

Hours are those of the clock on the wall: a window that begins at 20:00 does so also on the day on which the clocks
change, whose night is an hour longer or shorter.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import combinations
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from producers.clock_time import ClockTime
from schemas.topics import Priority
from streams.matching import Part

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

_DAYS: Final[tuple[Day, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES: Final = 24 * 60
_WEEK_MINUTES: Final = 7 * _DAY_MINUTES


class Window(Part):
    """Hours for some classes, such as 20:00 to 06:00; ``days`` are those on which it begins, none: every day."""

    priority: tuple[Priority, ...] = Field(min_length=1)
    begin: ClockTime
    end: ClockTime
    days: tuple[Day, ...] = ()

    @model_validator(mode="after")
    def _some_hours(self) -> Self:
        if Priority.P1_EMERGENCY in self.priority:
            raise ValueError("an emergency never waits for a window: take p1-emergency out of priority")
        if self.begin == self.end:
            raise ValueError("begin and end are the same: leave the window out where work may begin at any time")
        return self

    def on(self, day: date, zone: tzinfo) -> tuple[datetime, datetime] | None:
        """Its two ends in UTC when it begins on a day of the zone; ``None`` for a day on which it does not."""
        if self.days and _DAYS[day.weekday()] not in self.days:
            return None
        last = day if self.begin < self.end else day + timedelta(days=1)
        return tuple(
            datetime.combine(when, clock, zone).astimezone(UTC)
            for when, clock in ((day, self.begin), (last, self.end))
        )  # type: ignore[return-value] # of two

    def minutes(self) -> set[int]:
        """Minutes of a week in which it is open."""
        length = (_minutes(self.end) - _minutes(self.begin)) % _DAY_MINUTES
        starts = [number * _DAY_MINUTES for number, day in enumerate(_DAYS) if not self.days or day in self.days]
        return {
            (start + _minutes(self.begin) + minute) % _WEEK_MINUTES for start in starts for minute in range(length)
        }


def opens_at(windows: Sequence[Window], zone: tzinfo, now: datetime) -> datetime | None:
    """When work may begin; ``None`` when it may now, or when there are no windows.

    Parameters
    ----------
    windows
        Windows of one class.
    zone
        Time zone of the site.
    now
        Aware.
    """
    if not windows:
        return None
    today = now.astimezone(zone).date()
    # from yesterday, whose night may still last, to the week after next, as the hour that the clocks
    # leave out may be the whole window of next week
    days = [today + timedelta(days=number) for number in range(-1, 15)]
    spans = [span for window in windows for day in days if (span := window.on(day, zone)) is not None]
    if any(begin <= now < end for begin, end in spans):
        return None
    return min(begin for begin, end in spans if begin > now and end > begin)


def contradiction(windows: Sequence[Window]) -> str | None:
    """Why windows cannot stand beside each other; ``None`` when they can."""
    for (one, first), (other, second) in combinations(enumerate(windows), 2):
        shared = [priority.value for priority in first.priority if priority in second.priority]
        if shared and first.minutes() & second.minutes():
            return (
                f"windows {one + 1} and {other + 1} overlap for {', '.join(shared)}: make them one, or "
                "give them different days or hours"
            )
    return None


def _minutes(clock: time) -> int:
    return clock.hour * 60 + clock.minute
