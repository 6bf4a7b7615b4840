"""Moments → the dates and times that a query asks for, in the time zone of the source. Pure.

A window is made of whole days, because a study's date and time are when it began and its images come hours later.
Only when a source has more studies in one day than it tells of is a day cut by time. A study whose date or time
cannot be read lies in every window: what a source answers is never dropped for a bad date.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Final

_SECOND_US: Final = 1_000_000
_DAY_S: Final = 24 * 3600
#: A clock of a modality may be ahead of ours, and its day may have begun already.
_AHEAD: Final = timedelta(days=1)


@dataclass(frozen=True)
class Window:
    """Days in the source's time zone, both included; or part of one day.

    Attributes
    ----------
    first, last
        Days.
    begin_s, end_s
        Seconds since midnight, the second excluded; the whole day is 0 to 86400.
    """

    first: date
    last: date
    begin_s: int = 0
    end_s: int = _DAY_S

    def study_date(self) -> str:
        """StudyDate key: a single day or a range (PS3.4 C.2.2.2.5)."""
        if self.first == self.last:
            return _da(self.first)
        return f"{_da(self.first)}-{_da(self.last)}"

    def study_time(self) -> str:
        """StudyTime key; empty for whole days, which matches every time (PS3.4 C.2.2.2.3)."""
        if self.begin_s == 0 and self.end_s == _DAY_S:
            return ""
        return f"{_tm(self.begin_s)}-{_tm(self.end_s - 1)}.999999"

    def halves(self) -> tuple[Window, Window] | None:
        """Two windows that hold the same studies together; ``None`` when one second is left."""
        days = (self.last - self.first).days
        if days > 0:
            middle = self.first + timedelta(days=days // 2)
            return Window(self.first, middle), Window(middle + timedelta(days=1), self.last)
        seconds = self.end_s - self.begin_s
        if seconds < 2:
            return None
        cut = self.begin_s + seconds // 2
        return Window(self.first, self.last, self.begin_s, cut), Window(self.first, self.last, cut, self.end_s)

    def days(self) -> Window:
        """The same days from midnight to midnight."""
        return Window(self.first, self.last)

    def holds(self, study_date: str, study_time: str) -> bool:
        """Whether a study lies in this window, for sources that answer with more than was asked for.

        Parameters
        ----------
        study_date, study_time
            Values as the source gave them: DA and TM, empty when absent.
        """
        day = parse_date(study_date)
        if day is None:
            return True
        if not self.first <= day <= self.last:
            return False
        moment = parse_time(study_time)
        if moment is None or self.study_time() == "":
            return True
        since_midnight = moment.hour * 3600 + moment.minute * 60 + moment.second
        return self.begin_s <= since_midnight < self.end_s


def window_of(listed: datetime, now: datetime, overlap: timedelta, zone: tzinfo) -> Window:
    """Days to ask for.

    Parameters
    ----------
    listed
        Everything up to this moment has been listed before; aware.
    now
        Present time; aware.
    overlap
        How far to look back behind ``listed``, for what came late.
    zone
        Time zone of the source's dates.
    """
    # the subtraction is done in UTC: 24 h before a change of summer time are 24 h
    first = (listed - overlap).astimezone(zone).date()
    return Window(min(first, now.astimezone(zone).date()), (now + _AHEAD).astimezone(zone).date())


def parse_date(text: str) -> date | None:
    """DA value, also in the old form with dots (PS3.5 6.2); ``None`` when it is none."""
    digits = text.strip().replace(".", "")
    if len(digits) != 8 or not (digits.isascii() and digits.isdigit()):
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


def parse_time(text: str) -> time | None:
    """TM value, with as many parts as there are, also in the old form with colons; ``None`` when it is none."""
    whole, _, fraction = text.strip().replace(":", "").partition(".")
    if len(whole) not in (2, 4, 6) or not (whole.isascii() and whole.isdigit()):
        return None
    part = fraction[:6].ljust(6, "0")
    if not (part.isascii() and part.isdigit()):
        return None
    parts = [int(whole[at : at + 2]) for at in range(0, len(whole), 2)] + [0, 0]
    # second 60 is a leap second (PS3.5 6.2)
    seconds = min(parts[2], 59)
    try:
        return time(parts[0], parts[1], seconds, int(part) % _SECOND_US)
    except ValueError:
        return None


def _da(day: date) -> str:
    # strftime does not fill years below 1000
    return f"{day.year:04d}{day.month:02d}{day.day:02d}"


def _tm(since_midnight: int) -> str:
    return f"{since_midnight // 3600:02d}{since_midnight % 3600 // 60:02d}{since_midnight % 60:02d}"
