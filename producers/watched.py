"""Files that may be replaced while a process runs → whether they have been, asked as often as one likes.

Guarantee: each change is reported once; the file system is looked at no more than once in an interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

#: Inode, size and time of change, nanoseconds; ``None`` for a file that is not there.
_State = tuple[tuple[int, int, int] | None, ...]


class Watched:
    """Some files.

    Parameters
    ----------
    paths
        Files; symbolic links are followed, so that the swap of a mounted secret counts.
    interval_s
        Shortest time between two looks, in seconds.
    clock
        Monotonic time in seconds.
    """

    def __init__(self, paths: Sequence[Path], interval_s: float, clock: Callable[[], float]) -> None:
        self._paths = tuple(paths)
        self._interval_s = interval_s
        self._clock = clock
        self._looked_at = clock()
        self._state = self._look()

    def changed(self) -> bool:
        """Whether any of them is another than at the last call."""
        now = self._clock()
        if not self._paths or now - self._looked_at < self._interval_s:
            return False
        self._looked_at = now
        before, self._state = self._state, self._look()
        return self._state != before

    def _look(self) -> _State:
        return tuple(_state(path) for path in self._paths)


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
