"""SQLite file → one writing connection and a few reading ones.

WAL with ``synchronous=FULL``: a transaction that was answered survives a power failure, and readers never wait for
a writer. ``BEGIN IMMEDIATE`` makes every conditional request look and write under the same lock, also across
processes, so two of them can never both create.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from schemas.errors import ConfigurationError

_READERS: Final = 4
_BUSY_S: Final = 10.0

#: ``version`` keeps every version, append-only; ``resource`` says which one is current; ``search`` indexes that.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS version (
    type TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, updated INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (type, id, version)) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS version_is_kept BEFORE DELETE ON version
    BEGIN SELECT RAISE(ABORT, 'versions are append-only'); END;
CREATE TRIGGER IF NOT EXISTS version_is_fixed BEFORE UPDATE ON version
    BEGIN SELECT RAISE(ABORT, 'versions are append-only'); END;
CREATE TABLE IF NOT EXISTS resource (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,
    updated INTEGER NOT NULL, UNIQUE (type, id));
CREATE INDEX IF NOT EXISTS resource_by_type ON resource (type, seq);
CREATE INDEX IF NOT EXISTS resource_by_time ON resource (type, updated);
CREATE TABLE IF NOT EXISTS search (
    type TEXT NOT NULL, parameter TEXT NOT NULL, value TEXT NOT NULL, system TEXT NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (type, parameter, value, system, seq)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS search_by_resource ON search (seq);
CREATE INDEX IF NOT EXISTS search_by_system ON search (type, parameter, system, seq);
"""


class Database:
    """The file and its connections.

    Parameters
    ----------
    path
        File; its folder is made when missing.

    Raises
    ------
    ConfigurationError
        The file cannot be opened or is no database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._open()
            self._writer.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(
                f"the FHIR store {path} cannot be opened ({error}): check SCANSTREAM_DATA_DIR and its rights"
            ) from error
        self._lock = threading.Lock()
        self._readers: queue.Queue[sqlite3.Connection] = queue.Queue()
        for _ in range(_READERS):
            self._readers.put(self._open())

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Exclusive transaction: committed when the block ends, rolled back when it raises."""
        with self._lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One consistent view of what is committed."""
        connection = self._readers.get()
        try:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")
        finally:
            self._readers.put(connection)

    def close(self) -> None:
        """Close all connections; waits for those in use."""
        for _ in range(_READERS):
            self._readers.get().close()
        with self._lock:
            self._writer.close()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection
