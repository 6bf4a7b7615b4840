"""Places in memory for data sets that are small or unwanted, of bounded size, each and in all."""

from __future__ import annotations

from typing import Final

from producers.store.memory import Memory
from producers.store.spool import Buffer, Spool

#: An identifier with a thousand UIDs takes about 70 kB; a worklist item less.
MAX_IDENTIFIER_BYTES: Final = 1024 * 1024


class BoundedSpool(Spool):
    """Data set in memory that keeps nothing once it is longer than it may be; ``failure`` then says so.

    Parameters
    ----------
    max_bytes
        Longest data set that is kept; 0 keeps none.
    """

    def __init__(self, max_bytes: int = MAX_IDENTIFIER_BYTES) -> None:
        super().__init__()
        self._max_bytes = max_bytes
        self._shared: Memory | None = None
        self._held = 0

    def share(self, memory: Memory) -> None:
        """Count what comes from now on among the data sets of all associations."""
        self._shared = memory

    def append(self, fragment: Buffer) -> None:
        """Add the next bytes, or forget all of them when they are too many."""
        count = len(fragment)
        if self.failure is None:
            if self.size + count > self._max_bytes:
                self.failure = f"a data set of more than {self._max_bytes} bytes is not taken here"
            elif self._shared is not None and not self._shared.take(count):
                self.failure = "too many requests are under way: try later"
            elif self._shared is not None:
                self._held += count
            if self.failure is not None:
                self.close()
        super().append(fragment)

    def close(self) -> None:
        """Let go of memory."""
        super().close()
        held, self._held = self._held, 0
        if self._shared is not None and held:
            self._shared.give(held)
