"""Failures and probes of a destination → deliver, wait or probe. Pure; clock and chance are arguments.

Closed: deliver. Open: deliver nothing, probe when due. Trial: a probe succeeded, so one result may try; its
success closes the circuit, its failure opens it again. The wait doubles until a *delivery* succeeds: a destination
that answers probes but takes nothing is not asked ever faster.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Final

#: A destination may ask for this much time, in seconds; a slip in its header must not stop deliveries for years.
LONGEST_ASKED_S: Final = 3600.0


class State(Enum):
    """Of the way to the destination."""

    CLOSED = auto()
    OPEN = auto()
    PROBING = auto()
    TRIAL = auto()


class Circuit:
    """State of one destination.

    Parameters
    ----------
    first_s, longest_s
        First wait before a probe and the longest, in seconds.
    clock
        Monotonic time in seconds.
    chance
        Random number in [0, 1), so that several writers do not probe in step.
    """

    def __init__(
        self, first_s: float, longest_s: float, clock: Callable[[], float], chance: Callable[[], float]
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._clock = clock
        self._chance = chance
        self._wait_s = first_s
        self._probe_at = 0.0
        self.state = State.CLOSED

    def may_deliver(self, under_way: int) -> bool:
        """Whether one more delivery may start beside ``under_way`` others."""
        return self.state is State.CLOSED or (self.state is State.TRIAL and under_way == 0)

    def probe_due(self) -> bool:
        """Whether it is time to probe; the caller then calls :meth:`probing`."""
        return self.state is State.OPEN and self._clock() >= self._probe_at

    def probing(self) -> None:
        """Note that a probe is under way."""
        self.state = State.PROBING

    def probed(self, *, answered: bool, retry_after_s: float | None = None) -> None:
        """Note how the probe ended."""
        if self.state is not State.PROBING:
            return
        if answered:
            self.state = State.TRIAL
        else:
            self._open(retry_after_s)

    def failed(self, retry_after_s: float | None = None) -> bool:
        """Note that a delivery found the destination away; ``True`` where that is news.

        Deliveries that were under way beside the first one to fail say nothing new.
        """
        if self.state in (State.OPEN, State.PROBING):
            return False
        self._open(retry_after_s)
        return True

    def delivered(self) -> bool:
        """Note that the destination took or judged a result; ``True`` where it was away before."""
        was_away = self.state is not State.CLOSED
        self.state = State.CLOSED
        self._wait_s = self._first_s
        return was_away

    def nothing_to_try(self) -> bool:
        """Close the circuit after a good probe when no result is there to try with; the wait stays as it is."""
        if self.state is not State.TRIAL:
            return False
        self.state = State.CLOSED
        return True

    def _open(self, retry_after_s: float | None) -> None:
        wait_s = self._wait_s * (1 + 0.2 * self._chance())
        self._probe_at = self._clock() + max(wait_s, min(retry_after_s or 0.0, LONGEST_ASKED_S))
        self._wait_s = min(self._wait_s * 2, self._longest_s)
        self.state = State.OPEN
