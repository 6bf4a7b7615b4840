"""Date and time of a search (VR DT) → the span that it names, as UTC text to be compared by its letters. Pure.

A value of lower precision is a span: a day, an hour. A range is from the begin of its first to the end of its last
(PS3.4 C.2.2.2.5). What has no offset is UTC, as all times of workitems are.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final

_DT: Final = re.compile(r"(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:(?<=\d{14})\.(\d{1,6}))?([+-]\d{4})?")
#: Offsets from UTC (PS3.5 6.2), in minutes.
_OFFSETS: Final = range(-12 * 60, 14 * 60 + 1)
#: Before and after all text of a time.
_FIRST, _LAST = "", "~"


@lru_cache(1_000)
def span(value: str) -> tuple[str, str]:
    """First moment of a value or a range, and the first after it.

    Raises
    ------
    ValueError
        It is none.
    """
    if _DT.fullmatch(value):
        try:
            return _one(value)
        except ValueError:
            if "-" not in value:
                raise
    for place in (found.start() for found in re.finditer("-", value)):
        first, last = value[:place], value[place + 1 :]
        if (first or last) and all(not one or _DT.fullmatch(one) for one in (first, last)):
            return _one(first)[0] if first else _FIRST, _one(last)[1] if last else _LAST
    raise ValueError("it is no date and time")


def _one(value: str) -> tuple[str, str]:
    found = _DT.fullmatch(value)
    if found is None:
        raise ValueError("it is no date and time")
    *parts, fraction, offset = found.groups()
    given = [int(part) for part in parts if part is not None]
    year, month, day, hour, minute, second = given + [1, 1, 1, 0, 0, 0][len(given) :]
    begin = datetime(year, month, day, hour, minute, second, tzinfo=timezone(_offset(offset)))
    if fraction is None:
        return _text(begin), _text(_after(begin, len(given)))
    begin += timedelta(microseconds=int(fraction.ljust(6, "0")))
    return _text(begin), _text(begin + timedelta(microseconds=10 ** (6 - len(fraction))))


def _after(begin: datetime, precision: int) -> datetime:
    """End of a span that is given by so many of year, month, day, hour, minute and second."""
    match precision:
        case 1:
            return begin.replace(year=begin.year + 1)
        case 2:
            return (begin + timedelta(days=31)).replace(day=1)
        case _:
            return (
                begin
                + (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1))[
                    precision - 3
                ]
            )


def _offset(text: str | None) -> timedelta:
    if text is None:
        return timedelta(0)
    minutes = int(text[1:3]) * 60 + int(text[3:])
    minutes = -minutes if text[0] == "-" else minutes
    if minutes not in _OFFSETS:
        raise ValueError("it is no offset from UTC")
    return timedelta(minutes=minutes)


def _text(moment: datetime) -> str:
    try:
        moment = moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("it is before or after all years") from error
    return f"{moment.year:04}{moment:%m%d%H%M%S.%f}"
