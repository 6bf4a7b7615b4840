"""How many bodies are being sent at the same time, so that slow readers cannot fill the memory.

Each holds a block or two of a mebibyte for as long as its client takes to read.
"""

from __future__ import annotations


class Downloads:
    """Places for bodies that are sent while they are made; for one event loop.

    Parameters
    ----------
    most
        Places.
    """

    def __init__(self, most: int) -> None:
        self._free = most

    def begin(self) -> bool:
        """Take a place; ``False`` when there is none."""
        if self._free == 0:
            return False
        self._free -= 1
        return True

    def end(self) -> None:
        """Give a place back."""
        self._free += 1
