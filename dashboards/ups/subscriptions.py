"""Who wants to hear of which workitems, kept on disk (PS3.4 CC.2.3).

A subscription is of one workitem, of all (global), or of those that match a filter. Guarantee: one that was
confirmed is there after a restart. An AE title has one global subscription at most. Who ends that of one workitem
hears of it no more, also where a global one goes on (PS3.4 table CC.2.3-2).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from schemas.errors import ConfigurationError

#: Well-known UIDs (PS3.4 CC.2.3.1, PS3.6 A).
GLOBAL: Final = "1.2.840.10008.5.1.4.34.5"
FILTERED: Final = "1.2.840.10008.5.1.4.34.5.1"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS subscription (
    aet TEXT NOT NULL, workitem TEXT NOT NULL, filter TEXT NOT NULL, deletion_lock INTEGER NOT NULL,
    until TEXT NOT NULL DEFAULT '', PRIMARY KEY (aet, workitem)) WITHOUT ROWID;
"""
#: A file of before the column was there.
_COLUMN: Final = "ALTER TABLE subscription ADD COLUMN until TEXT NOT NULL DEFAULT ''"
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


_ADD: Final = "INSERT OR REPLACE INTO subscription VALUES (?, ?, ?, ?, ?)"


@dataclass(frozen=True)
class Subscription:
    """What an AE title wants to hear of; ``filter`` is the query of a filtered one.

    Only workitems that were made up to ``until`` belong to it; ``None``: all.
    """

    aet: str
    workitem: str
    filter: str = ""
    deletion_lock: bool = False
    until: datetime | None = None


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
            if "until" not in {row[1] for row in self._file.execute("PRAGMA table_info(subscription)")}:
                self._file.execute(_COLUMN)
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(
                f"the subscriptions {path} cannot be opened ({error}): check SCANSTREAM_DATA_DIR and its rights"
            ) from error

    def add(self, one: Subscription) -> None:
        """Subscribe, or change what was subscribed to."""
        with self._lock:
            self._file.execute(_ADD, (one.aet, one.workitem, one.filter, one.deletion_lock, _text(one.until)))

    def remove(self, aet: str, workitem: str, *, known: bool = False) -> bool:
        """End a subscription; whether there was one. The end of a global one ends all (PS3.4 CC.2.3.3.1).

        ``known``: there is such a workitem, so an end of it alone is remembered beside a global subscription.
        """
        with self._lock:
            if workitem == GLOBAL:
                return self._file.execute("DELETE FROM subscription WHERE aet = ?", (aet,)).rowcount > 0
            own = "DELETE FROM subscription WHERE aet = ? AND workitem = ? AND until <> ?"
            done = self._file.execute(own, (aet, workitem, _text(_NEVER))).rowcount > 0
            others = "SELECT workitem FROM subscription WHERE aet = ?"
            named = {row[0] for row in self._file.execute(others, (aet,))}
            if known and workitem not in named and named & {GLOBAL, FILTERED}:
                self._file.execute(_ADD, (aet, workitem, "", False, _text(_NEVER)))
                return True
            return done

    def forget(self, aet: str, workitems: Iterable[str]) -> None:
        """Drop what was said of workitems that are there no more."""
        rows = [(aet, workitem) for workitem in workitems]
        with self._lock:
            self._file.executemany("DELETE FROM subscription WHERE aet = ? AND workitem = ?", rows)

    def suspend(self, aet: str, workitem: str, now: datetime) -> bool:
        """Let a global or filtered subscription be of no workitems made from now on; whether there was one.

        It stays that of those that were there before (PS3.18 11.12).
        """
        change = "UPDATE subscription SET until = ? WHERE aet = ? AND workitem = ? AND until = ''"
        with self._lock:
            return self._file.execute(change, (_text(now), aet, workitem)).rowcount > 0

    def of(self, aet: str) -> list[Subscription]:
        """Subscriptions of an AE title."""
        with self._lock:
            rows = self._file.execute(
                "SELECT aet, workitem, filter, deletion_lock, until FROM subscription WHERE aet = ?", (aet,)
            ).fetchall()
        return [
            Subscription(row[0], row[1], row[2], bool(row[3]), datetime.fromisoformat(row[4]) if row[4] else None)
            for row in rows
        ]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()


def _text(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat()
