"""``Retry-After`` → seconds (RFC 9110 10.2.3), within bounds, so that no server can make its client wait for ever.

The one reading of the field for all HTTP clients; the clock is an argument.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

#: A server that is down for longer is probed in between all the same.
LONGEST_S: Final = 3600.0


def retry_after_s(
    field: str | None, now: datetime, *, shortest_s: float = 0.0, longest_s: float = LONGEST_S
) -> float | None:
    """Seconds that a server asks us to wait.

    Parameters
    ----------
    field
        Value of the field: whole seconds or an HTTP date; ``None`` where there is none.
    now
        Current time, to which a date is compared.
    shortest_s, longest_s
        Bounds of the answer, in seconds.

    Returns
    -------
    float or None
        ``None`` where the field is absent or says nothing that the standard knows.
    """
    text = (field or "").strip()
    if text.isascii() and text.isdigit():
        # more digits than this are beyond every bound, and Python refuses to read thousands of them
        seconds = float(text) if len(text) <= 12 else longest_s
    else:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, shortest_s), longest_s)
