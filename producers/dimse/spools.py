"""Places in memory for data sets that are small or unwanted, of bounded size."""

from __future__ import annotations

from typing import Final

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

    def append(self, fragment: Buffer) -> None:
        """Add the next bytes, or forget all of them when they are too many."""
        if self.size + len(fragment) > self._max_bytes:
            self.failure = f"a data set of more than {self._max_bytes} bytes is not taken here"
            self.close()
        super().append(fragment)
