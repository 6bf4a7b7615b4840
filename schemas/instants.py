"""UTC time → RFC 3339 text with milliseconds and ``Z``: one form for wire and people; seconds → UTC time. Pure.

Times of others may lie at the end of the calendar: what would lie beyond it is its last moment.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_LAST: Final = datetime.max.replace(tzinfo=UTC)
_LAST_S: Final = _LAST.replace(microsecond=0).timestamp()


def rfc3339(moment: datetime) -> str:
    """Text of a time that is already in UTC, such as ``2026-11-22T09:30:00.000Z``."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def of_unix(seconds: float) -> datetime:
    """UTC time of seconds since 1970, which the clock of others may count beyond any calendar."""
    return datetime.fromtimestamp(min(max(seconds, 0.0), _LAST_S), UTC)


def later(moment: datetime, wait: timedelta) -> datetime:
    """UTC time so much later; ``wait`` is not negative."""
    return min(moment, _LAST - wait) + wait
