"""The index file: SQLite tables made from the attribute tables, and connections to it.

Durability: WAL with ``synchronous=FULL``, so a committed transaction survives power loss (SQLite documentation,
``PRAGMA synchronous``).
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from producers.store.attributes import INSTANCE, SERIES, STUDY, Attribute
from producers.store.migrations import migrate
from producers.store.person_name import fuzzy, literal
from schemas.errors import ConfigurationError, DestinationUnavailable

SCHEMA_VERSION: Final = 2

FILE_COLUMNS: Final = (
    "StudyInstanceUID TEXT NOT NULL",
    "SeriesInstanceUID TEXT NOT NULL",
    "transfer_syntax_uid TEXT NOT NULL",
    "file TEXT NOT NULL",
    "data_set_offset INTEGER NOT NULL",
    "size_bytes INTEGER NOT NULL",
    "sha256 TEXT NOT NULL",
    "stored_at REAL NOT NULL",
)


def _columns(attributes: Sequence[Attribute]) -> list[str]:
    return [f'"{item.keyword}" {"INTEGER" if item.is_number else "TEXT"}' for item in attributes]


def _table(name: str, columns: Sequence[str], key: str) -> str:
    return f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(columns)}, PRIMARY KEY ({key})) WITHOUT ROWID"


DDL: Final = (
    _table(
        "studies",
        [*_columns(STUDY), "first_stored_at REAL NOT NULL", "lane INTEGER NOT NULL DEFAULT 1"],
        "StudyInstanceUID",
    ),
    _table(
        "series",
        ["StudyInstanceUID TEXT NOT NULL", *_columns(SERIES)],
        "StudyInstanceUID, SeriesInstanceUID",
    ),
    _table("instances", [*_columns(INSTANCE), *FILE_COLUMNS], "SOPInstanceUID"),
    # Each in the order in which a search returns rows, so a page is read and never sorted.
    "CREATE INDEX IF NOT EXISTS studies_in_order ON studies (first_stored_at DESC, StudyInstanceUID)",
    "CREATE INDEX IF NOT EXISTS series_in_order ON series (StudyInstanceUID, SeriesNumber, SeriesInstanceUID)",
    "CREATE INDEX IF NOT EXISTS instances_in_order ON instances"
    " (StudyInstanceUID, SeriesInstanceUID, InstanceNumber, SOPInstanceUID)",
    "CREATE UNIQUE INDEX IF NOT EXISTS instances_by_file ON instances (file)",
    "CREATE INDEX IF NOT EXISTS instances_by_time ON instances (stored_at)",
    "CREATE INDEX IF NOT EXISTS series_by_uid ON series (SeriesInstanceUID)",
    "CREATE INDEX IF NOT EXISTS studies_by_patient ON studies (PatientID)",
    "CREATE INDEX IF NOT EXISTS studies_by_accession ON studies (AccessionNumber)",
    "CREATE INDEX IF NOT EXISTS studies_by_date ON studies (StudyDate)",
    "CREATE TABLE IF NOT EXISTS outbox (sequence INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL,"
    " key BLOB NOT NULL, value BLOB NOT NULL, headers BLOB NOT NULL, created_at REAL NOT NULL,"
    " lane INTEGER NOT NULL DEFAULT 1)",
    "CREATE INDEX IF NOT EXISTS outbox_by_lane ON outbox (lane)",
    "CREATE TABLE IF NOT EXISTS removals (file TEXT PRIMARY KEY) WITHOUT ROWID",
)


def open_writer(path: Path) -> sqlite3.Connection:
    """Connection of the one writer; creates what is missing.

    Raises
    ------
    ConfigurationError
        The file is no index of this release, or cannot be opened.
    DestinationUnavailable
        The disk takes no more; another start works once it does.
    """
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA cache_size=-65536")
        # 32 MB: a page that many commits change is copied into the database once and not after each few of them.
        connection.execute("PRAGMA wal_autocheckpoint=8000")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if not 0 <= version <= SCHEMA_VERSION:
            raise ConfigurationError(
                f"the index {path} has version {version}, this release reads {SCHEMA_VERSION}: start the release "
                "that wrote it, or move the index away and it is rebuilt from the stored files"
            )
        connection.execute("BEGIN IMMEDIATE")
        migrate(connection, version)
        for statement in DDL:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.execute("COMMIT")
        if identity_of(connection) == 0:
            connection.execute(f"PRAGMA application_id={1 + secrets.randbelow(2**31 - 1)}")
    except sqlite3.Error as error:
        if _is_full(error):
            raise DestinationUnavailable(
                f"the index {path} cannot be opened ({error}): free space on the disk of SCANSTREAM_DATA_DIR"
            ) from error
        raise ConfigurationError(
            f"the index {path} cannot be opened ({error}): check SCANSTREAM_DATA_DIR, or move the index away "
            "and it is rebuilt from the stored files"
        ) from error
    return connection


def _is_full(error: sqlite3.Error) -> bool:
    """A full disk shows as such, or as a failed write of the files beside the database."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def identity_of(connection: sqlite3.Connection) -> int:
    """Random number that an index keeps from its creation on, and that no other index has."""
    (identity,) = connection.execute("PRAGMA application_id").fetchone()
    return int(identity)


class Readers:
    """One read-only connection per thread; they see the last commit and never hold up the writer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._all: list[tuple[threading.Thread, sqlite3.Connection]] = []
        self._lock = threading.Lock()

    def connection(self) -> sqlite3.Connection:
        """The connection of the calling thread."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=ro",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
            )
            found.row_factory = sqlite3.Row
            found.create_function("literal_name", 2, _name_matcher(literal), deterministic=True)
            found.create_function("fuzzy_name", 2, _name_matcher(fuzzy), deterministic=True)
            self._local.connection = found
            with self._lock:
                self._all.append((threading.current_thread(), found))
        return found

    def close(self) -> None:
        """Close the connections of this thread and of those that ended; another's closes when it ends.

        A relay that did not stop in time may just be reading, and closing under it would end the process.
        """
        with self._lock:
            for thread, connection in self._all:
                if thread is threading.current_thread() or not thread.is_alive():
                    connection.close()
            self._all.clear()


def _name_matcher(matches: Callable[[str, str], bool]) -> Callable[[str | None, str], bool]:
    return lambda name, key: name is not None and matches(name, key)
