"""How many bodies are being sent at the same time, so that slow readers cannot fill the memory.

Each holds a block or two of a mebibyte for as long as its client takes to read; one that takes nothing at all
loses its place.
"""

from __future__ import annotations


class Downloads:
    """Places for bodies that are sent while they are made; for one event loop.

    Parameters
    ----------
    most
        Places.
    patience_s
        Seconds for which a client may take nothing of a response.
    """

    def __init__(self, most: int, patience_s: float) -> None:
        self._free = most
        self.patience_s = patience_s

    def begin(self) -> bool:
        """Take a place; ``False`` when there is none."""
        if self._free == 0:
            return False
        self._free -= 1
        return True

    def end(self) -> None:
        """Give a place back."""
        self._free += 1
