"""Sources that are away → whose results wait. Pure; the clock is an argument.

A source is what only some of the results need: the gateway that holds their pixels, or the requester whom they are
for. One that is away, or gone for good, holds up only its own results: they wait, and one of them tries again
after a growing while.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from consumers.delivery.circuit import LONGEST_ASKED_S


@dataclass
class _Away:
    wait_s: float
    try_at: float


class Sources:
    """State of every source that was asked.

    Parameters
    ----------
    first_s, longest_s
        First and longest wait before the next try, in seconds; doubling.
    clock
        Monotonic time in seconds.
    at_once
        Results of one source that may be under way at once; ``None`` for any number.
    """

    def __init__(
        self, first_s: float, longest_s: float, clock: Callable[[], float], at_once: int | None = None
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._clock = clock
        self._at_once = at_once
        self._away: dict[str, _Away] = {}
        self._under_way: Counter[str] = Counter()

    def may_try(self, source: str | None) -> bool:
        """Whether a result of this source may be tried now; one that nobody knows yet may."""
        if source is None:
            return True
        if self._at_once is not None and self._under_way[source] >= self._at_once:
            return False
        away = self._away.get(source)
        return away is None or self._clock() >= away.try_at

    def trying(self, source: str) -> None:
        """Note that one result tries; the others of a source that was away wait for how it ends."""
        self._under_way[source] += 1
        away = self._away.get(source)
        if away is not None:
            away.try_at = self._clock() + self._longest_s

    def ended(self, source: str) -> None:
        """Note that one that tried has ended."""
        self._under_way[source] -= 1
        if self._under_way[source] <= 0:
            del self._under_way[source]

    def went(self, source: str, retry_after_s: float | None = None) -> bool:
        """Note that the source did not answer; ``True`` where that is news."""
        known = self._away.get(source)
        wait_s = self._first_s if known is None else min(known.wait_s * 2, self._longest_s)
        self._away[source] = _Away(wait_s, self._clock() + max(wait_s, min(retry_after_s or 0.0, LONGEST_ASKED_S)))
        return known is None

    def answered(self, source: str) -> bool:
        """Note that the source is there; ``True`` where that is news."""
        return self._away.pop(source, None) is not None
