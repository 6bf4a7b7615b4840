"""What peers asked for besides storing: a small SQLite database beside the index, for a few requests a second.

Apart from the index, because that may be rebuilt from the stored files and this may not. Durability as there: WAL
with ``synchronous=FULL``, so a committed transaction survives power loss (SQLite documentation, ``PRAGMA
synchronous``).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from schemas.errors import ConfigurationError, DestinationUnavailable

FILE: Final = "services.sqlite"
SCHEMA_VERSION: Final = 1

T = TypeVar("T")


class ServiceDatabase:
    """One connection, used by one thread.

    Parameters
    ----------
    root
        Directory of the store.
    ddl
        Statements that make what is missing.

    Raises
    ------
    ConfigurationError
        The file is none of this release, or cannot be opened.
    """

    def __init__(self, root: Path, ddl: Sequence[str]) -> None:
        path = root / FILE
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, SCHEMA_VERSION):
                raise ConfigurationError(
                    f"{path} has version {version}, this release reads {SCHEMA_VERSION}: start the release that "
                    "wrote it, or move the file away; pending storage commitments are then not answered"
                )
            for statement in ddl:
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        except sqlite3.Error as error:
            raise ConfigurationError(
                f"{path} cannot be opened ({error}): check SCANSTREAM_DATA_DIR, or move the file away; pending "
                "storage commitments are then not answered"
            ) from error
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="service-database")

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do some work in one transaction, which is durable when this returns.

        Raises
        ------
        DestinationUnavailable
            It could not be written.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, work)
        except sqlite3.Error as error:
            raise DestinationUnavailable(
                f"{FILE} cannot be written ({error}): check the disk of SCANSTREAM_DATA_DIR"
            ) from error

    def close(self) -> None:
        """Finish what was begun and close the file; closing again does nothing."""
        self._thread.shutdown(wait=True)
        self._connection.close()

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return result
