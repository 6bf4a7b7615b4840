"""Who wants to hear of which workitems, kept on disk (PS3.4 CC.2.3).

A subscription is of one workitem, of all (global), or of those that match a filter. Guarantee: one that was
confirmed is there after a restart. An AE title has one global subscription at most.
"""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from schemas.errors import ConfigurationError

#: Well-known UIDs (PS3.4 CC.2.3.1, PS3.6 A).
GLOBAL: Final = "1.2.840.10008.5.1.4.34.5"
FILTERED: Final = "1.2.840.10008.5.1.4.34.5.1"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS subscription (
    aet TEXT NOT NULL, workitem TEXT NOT NULL, filter TEXT NOT NULL, deletion_lock INTEGER NOT NULL,
    PRIMARY KEY (aet, workitem)) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Subscription:
    """What an AE title wants to hear of; ``filter`` is the query of a filtered one."""

    aet: str
    workitem: str
    filter: str = ""
    deletion_lock: bool = False


class Subscriptions:
    """The file.

    Parameters
    ----------
    path
        SQLite file.

    Raises
    ------
    ConfigurationError
        It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(
                f"the subscriptions {path} cannot be opened ({error}): check SCANSTREAM_DATA_DIR and its rights"
            ) from error

    def add(self, one: Subscription) -> None:
        """Subscribe, or change what was subscribed to."""
        with self._lock:
            self._file.execute(
                "INSERT OR REPLACE INTO subscription VALUES (?, ?, ?, ?)",
                (one.aet, one.workitem, one.filter, one.deletion_lock),
            )

    def remove(self, aet: str, workitem: str) -> bool:
        """End a subscription; whether there was one. The end of a global one ends all (PS3.4 CC.2.3.3.1)."""
        with self._lock:
            if workitem == GLOBAL:
                return self._file.execute("DELETE FROM subscription WHERE aet = ?", (aet,)).rowcount > 0
            done = self._file.execute("DELETE FROM subscription WHERE aet = ? AND workitem = ?", (aet, workitem))
            return done.rowcount > 0

    def suspend(self, aet: str, workitem: str) -> bool:
        """End a global or filtered subscription, and keep those of single workitems; whether there was one."""
        with self._lock:
            done = self._file.execute("DELETE FROM subscription WHERE aet = ? AND workitem = ?", (aet, workitem))
            return done.rowcount > 0

    def of(self, aet: str) -> list[Subscription]:
        """Subscriptions of an AE title."""
        with self._lock:
            rows = self._file.execute(
                "SELECT aet, workitem, filter, deletion_lock FROM subscription WHERE aet = ?", (aet,)
            ).fetchall()
        return [Subscription(row[0], row[1], row[2], bool(row[3])) for row in rows]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()
