"""How many normal rows the relay may publish now, after an outage. Pure; the clock is an argument.

While the oldest normal row is old, those who read the log have a backlog before them: it is handed out at a
bounded rate, so that what is urgent is never behind more than one batch of it. Fresh rows know no bound.
"""

from __future__ import annotations

from typing import Final

#: The allowance that may be saved up, in seconds of the rate: it evens out the length of transactions, and bounds
#: the batch that something urgent may have to wait for.
_SAVED_S: Final = 0.1


class Pace:
    """Token bucket for normal rows.

    Parameters
    ----------
    rows_per_s
        Rate at which old rows go.
    old_s
        A normal row older than this says that there was an outage, seconds.
    """

    def __init__(self, rows_per_s: float, old_s: float) -> None:
        self._rate = rows_per_s
        self._old_s = old_s
        self._allowance = 0.0
        self._at: float | None = None

    def allowed(self, oldest_s: float, now: float, most: int) -> int:
        """Rows that may go now.

        Parameters
        ----------
        oldest_s
            Age of the oldest normal row, seconds.
        now
            Monotonic seconds.
        most
            Rows of a batch.
        """
        if oldest_s < self._old_s:
            self._at = None
            return most
        if self._at is None:
            self._allowance = self._most_saved
        else:
            self._allowance = min(self._allowance + (now - self._at) * self._rate, self._most_saved)
        self._at = now
        return min(int(self._allowance), most)

    def went(self, rows: int) -> None:
        """So many of the allowed rows were published."""
        if self._at is not None:
            self._allowance -= rows

    def wait_s(self) -> float:
        """Seconds until another row may go; 0 when nothing is held back."""
        if self._at is None or self._allowance >= 1:
            return 0.0
        # a moment longer, so that a batch is worth its transaction
        return max((1 - self._allowance) / self._rate, min(0.02, self._most_saved / self._rate))

    @property
    def _most_saved(self) -> float:
        return max(self._rate * _SAVED_S, 2.0)
