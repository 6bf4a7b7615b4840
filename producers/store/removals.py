"""Files that no row names any more → removed from disk, in such an order that none of them ever comes back.

The commit that takes the row of a file away writes the file's name into ``removals``. The file goes after that
commit, and the name goes with a later one, once the directory without the file is on disk. A start does at once
what was left, before it looks for files without a row.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from producers.store.files import sync_directories
from schemas.logs import fields

log = logging.getLogger(__name__)

_TRY_AGAIN_S: Final = 60.0


def remember(connection: sqlite3.Connection, files: Iterable[str]) -> None:
    """Names of files that go after this commit; the transaction belongs to the caller."""
    connection.executemany("INSERT OR IGNORE INTO removals (file) VALUES (?)", ((file,) for file in files))


def finish(connection: sqlite3.Connection, root: Path) -> int:
    """At a start: remove what an earlier run left; returns how many files that were.

    What cannot be removed now keeps its name in ``removals``, and so is never taken for a file to index.
    """
    files = [str(file) for (file,) in connection.execute("SELECT file FROM removals")]
    gone = [file for file in files if _remove(root, file)]
    sync_directories({_directory(root, file) for file in gone})
    connection.executemany("DELETE FROM removals WHERE file = ?", ((file,) for file in gone))
    return len(gone)


class Removals:
    """What a running store has still to remove; belongs to the writer's thread.

    Parameters
    ----------
    root
        Directory of the store.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._waiting: list[tuple[float, str]] = []
        self._gone: list[str] = []

    @property
    def is_settled(self) -> bool:
        """Whether no name is left to be taken from the table."""
        return not self._gone

    def add(self, files: Iterable[str], not_before: float) -> None:
        """Files whose names are committed; they go at this Unix time."""
        self._waiting += [(not_before, file) for file in files]

    def sweep(self, now: float) -> None:
        """Remove the files whose time has come."""
        if not self._waiting:
            return
        due = [file for not_before, file in self._waiting if not_before <= now]
        self._waiting = [item for item in self._waiting if item[0] > now]
        for file in due:
            if _remove(self._root, file):
                self._gone.append(file)
            else:
                self._waiting.append((now + _TRY_AGAIN_S, file))

    def settle(self, connection: sqlite3.Connection, touched: set[Path]) -> int:
        """Take the names of removed files from the table; ``touched`` must be on disk before the commit.

        Returns
        -------
        int
            How many names went; to be given to :meth:`settled` after the commit.
        """
        for file in self._gone:
            touched.add(_directory(self._root, file))
            connection.execute("DELETE FROM removals WHERE file = ?", (file,))
        return len(self._gone)

    def settled(self, count: int) -> None:
        """The commit succeeded."""
        del self._gone[:count]


def _remove(root: Path, file: str) -> bool:
    path = root / file
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.error("a deleted file cannot be removed: remove it", extra=fields(file=file, reason=error.strerror))  # noqa: TRY400 - says it all
        return False
    # A directory goes with its last file.
    with suppress(OSError):
        path.parent.rmdir()
    return True


def _directory(root: Path, file: str) -> Path:
    """Nearest directory that is still there."""
    directory = (root / file).parent
    while not directory.is_dir():
        directory = directory.parent
    return directory
