"""Limits and failures → when to go on: token bucket, off-peak hours, backoff. Pure; the clock is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, tzinfo
from typing import Final

BACKOFF_FIRST_S: Final = 2.0
BACKOFF_MOST_S: Final = 300.0
#: A study that failed alone is tried again after 1, 2, 4, … minutes, at most every 6 hours.
ASIDE_FIRST_S: Final = 60.0
ASIDE_MOST_S: Final = 6 * 3600.0


class TokenBucket:
    """So many a minute on average, and not more at once than a burst.

    Parameters
    ----------
    per_minute
        Rate; ``None`` for no limit.
    now_s
        Present time of a clock that never goes back, in seconds.
    """

    def __init__(self, per_minute: float | None, now_s: float) -> None:
        self._per_second = None if per_minute is None else per_minute / 60
        #: Ten seconds' worth: smooth for the source, and still a whole request at once.
        self._burst = max(1.0, (self._per_second or 0.0) * 10)
        self._tokens = self._burst
        self._at_s = now_s

    @property
    def burst(self) -> int | None:
        """Most that may begin at once; ``None`` without a limit."""
        return None if self._per_second is None else int(self._burst)

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next may begin; 0 when it may now."""
        if self._per_second is None:
            return 0.0
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._per_second)
        self._at_s = now_s
        # below the precision of the sum is as good as there
        return max(0.0, (1 - self._tokens) / self._per_second) if self._tokens < 1 - 1e-9 else 0.0

    def take(self, count: int) -> None:
        """Take for what begins; a request that cannot be cut takes on debt, which the next ones wait for."""
        if self._per_second is not None:
            self._tokens -= count


@dataclass(frozen=True)
class Hours:
    """Hours of the day in which a source may be read, such as 20:00 to 06:00; equal ends are the whole day."""

    begin: time
    end: time
    zone: tzinfo

    def open_at(self, now: datetime) -> bool:
        """Whether ``now``, aware, lies in these hours on the clock of the zone."""
        local = now.astimezone(self.zone).time()
        if self.begin < self.end:
            return self.begin <= local < self.end
        return local >= self.begin or local < self.end


def backoff_s(
    failures: int, chance: float, first_s: float = BACKOFF_FIRST_S, most_s: float = BACKOFF_MOST_S
) -> float:
    """Seconds to wait after so many failures in a row: doubling up to a limit, and spread by a random part.

    Parameters
    ----------
    failures
        1 after the first.
    chance
        Uniform in [0, 1).
    first_s, most_s
        Limits before the random part, in seconds.
    """
    # beyond 2**30 every limit is reached
    return float(min(most_s, first_s * 2.0 ** min(failures - 1, 30))) * (0.5 + chance / 2)
