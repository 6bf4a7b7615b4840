"""Most deliveries per second → may one start now. Pure; the clock is an argument.

A token bucket that holds one second's worth: whoever takes the free token is the most urgent of that moment.
"""

from __future__ import annotations

from collections.abc import Callable


class Rate:
    """Token bucket.

    Parameters
    ----------
    per_second
        Tokens that come in a second; ``None`` for as many as are asked for.
    clock
        Monotonic time in seconds.
    """

    def __init__(self, per_second: float | None, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._clock = clock
        self._room = max(1.0, per_second or 1.0)
        self._tokens = 1.0
        self._filled_at = clock()

    def allows(self) -> bool:
        """Whether there is a token."""
        if self._per_second is None:
            return True
        now = self._clock()
        self._tokens = min(self._room, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        return self._tokens >= 1.0

    def take(self) -> None:
        """Take the token that :meth:`allows` saw."""
        if self._per_second is not None:
            self._tokens -= 1.0
