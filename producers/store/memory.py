"""Memory of all data sets under way → a sum that stays below its bound, however many senders there are.

What is not granted goes to a file, so nobody waits for anybody and nothing is refused.
"""

from __future__ import annotations

import threading
from typing import Final

DEFAULT_BYTES: Final = 256 * 1024 * 1024


class Memory:
    """A bound that spools share; receiving takes on the event loop, the writer's thread gives back.

    Parameters
    ----------
    most
        Bytes in all.
    """

    def __init__(self, most: int = DEFAULT_BYTES) -> None:
        self._most = most
        self._lock = threading.Lock()
        self.in_use = 0

    def take(self, count: int) -> bool:
        """Whether ``count`` more bytes may be held; they count from now on."""
        with self._lock:
            if self.in_use + count > self._most:
                return False
            self.in_use += count
            return True

    def give(self, count: int) -> None:
        """Bytes are held no more."""
        with self._lock:
            self.in_use -= count
