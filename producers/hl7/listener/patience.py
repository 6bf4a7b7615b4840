"""How long Kafka may take for what is in hand: senders wait for an answer, mostly no longer than 10 to 30 s."""

from __future__ import annotations

from collections.abc import Callable


class Patience:
    """Seconds that are left, as a context: they count from its beginning, and outside of it without end.

    Parameters
    ----------
    limit_s
        How long it lasts.
    clock
        Monotonic seconds.
    """

    def __init__(self, limit_s: float, clock: Callable[[], float]) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._end = float("inf")

    def __enter__(self) -> None:
        self._end = self._clock() + self._limit_s

    def __exit__(self, *_: object) -> None:
        self._end = float("inf")

    def __call__(self) -> float:
        """Seconds that are left now."""
        return max(self._end - self._clock(), 0.0)
