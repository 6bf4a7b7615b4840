"""Rows → ClickHouse, over HTTP with clickhouse-connect: the one code path for a server and the embedded engine.

Guarantee: a batch is inserted whole or not at all, and inserting the same batch again (after a timeout whose
outcome is unknown) changes nothing: it carries a deduplication token made of its last hashes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from consumers.audit.rows import COLUMNS, Row
from schemas.errors import ConfigurationError, DestinationUnavailable, PermanentRejection

DDL_DIR: Final = Path(__file__).parent / "ddl"

#: ClickHouse error 469, VIOLATED_CONSTRAINT: a row whose hash does not follow from the row.
_CONSTRAINT: Final = "Code: 469"

#: ClickHouse errors that pass: timeouts, too many queries or parts, memory, network, read-only replica, Keeper.
_PASSING: Final = frozenset({159, 202, 209, 210, 225, 241, 242, 252, 319, 999})


class AuditStore:
    """The table ``events`` of one ClickHouse database.

    Parameters
    ----------
    client
        Connection to the database that holds the table.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def migrate(self) -> None:
        """Apply the numbered DDL files; each can be applied again without harm.

        Raises
        ------
        DestinationUnavailable
            The store does not answer.
        ConfigurationError
            The account may not create the tables.
        """
        for path in sorted(DDL_DIR.glob("*.sql")):
            try:
                self._client.command(_without_comments(path.read_text(encoding="utf-8")))
            except ClickHouseError as error:
                if not _is_refusal(error):
                    raise unavailable(error) from error
                raise ConfigurationError(
                    f"ClickHouse refused {path.name}: {_first_line(error)}; let an account that may create tables "
                    "apply consumers/audit/ddl, or correct CLICKHOUSE_DSN"
                ) from error

    def heads(self) -> dict[tuple[str, int], tuple[int, str]]:
        """Last offset and last hash of each ``(topic, partition)`` in the store."""
        try:
            result = self._client.query(
                "SELECT topic, partition, max(offset), argMax(hash, offset) FROM events GROUP BY topic, partition"
            )
        except ClickHouseError as error:
            raise unavailable(error) from error
        return {(topic, partition): (offset, _text(head)) for topic, partition, offset, head in result.result_rows}

    def insert(self, rows: Sequence[Row], inserted_at: datetime) -> None:
        """Insert one batch, all of it or nothing.

        Raises
        ------
        DestinationUnavailable
            The store does not answer or cannot take rows now: insert the same batch again later.
        PermanentRejection
            A row contradicts its hash.
        """
        token = hashlib.sha256("".join(row.hash for row in rows).encode()).hexdigest()
        try:
            self._client.insert(
                "events",
                [row.values(inserted_at) for row in rows],
                column_names=list(COLUMNS),
                column_type_names=list(COLUMNS.values()),
                settings={"insert_deduplication_token": token, "async_insert": 0},
            )
        except ClickHouseError as error:
            if _CONSTRAINT in str(error):
                raise PermanentRejection(
                    "ClickHouse refused a row whose hash does not match it: the audit chain is broken, stop and "
                    "compare the table with the log",
                    469,
                ) from error
            raise unavailable(error) from error

    def broken_links(self) -> list[dict[str, Any]]:
        """Rows whose previous hash is not the hash of the row before them (deleted or altered rows).

        The first row of a chain is not judged: retention may have removed its predecessors.
        """
        sql = """
            SELECT topic, partition, offset, prev_hash, before
            FROM (
                SELECT topic, partition, offset, toString(prev_hash) AS prev_hash,
                       lagInFrame(toString(hash), 1, '') OVER (
                           PARTITION BY topic, partition ORDER BY offset
                           ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before,
                       toString(hash) != lower(hex(SHA256(concat(topic, '|', toString(partition), '|',
                           toString(offset), '|', prev_hash, '|', body)))) AS altered
                FROM events)
            WHERE altered OR (before != '' AND before != prev_hash)
            ORDER BY topic, partition, offset"""
        return list(self._client.query(sql).named_results())


def connect(dsn: str, **options: Any) -> Client:
    """Client for a ClickHouse HTTP endpoint.

    Raises
    ------
    DestinationUnavailable
        Nothing answers there.
    ConfigurationError
        The server refuses the account or the database, or the address is none.
    """
    try:
        return clickhouse_connect.get_client(dsn=dsn, autogenerate_session_id=False, compress=False, **options)
    except ClickHouseError as error:
        if not _is_refusal(error):
            raise unavailable(error) from error
        raise ConfigurationError(
            f"ClickHouse refused the connection: {_first_line(error)}; correct CLICKHOUSE_DSN"
        ) from error
    except ValueError:
        # without its words, which may quote the password
        raise ConfigurationError(
            "CLICKHOUSE_DSN is no address: set it to clickhouse://USER:PASSWORD@HOST:PORT/DATABASE"
        ) from None


def unavailable(error: Exception) -> DestinationUnavailable:
    """What the runtime must do when ClickHouse does not answer."""
    return DestinationUnavailable(
        f"the audit store does not take requests: {_first_line(error)}; check ClickHouse and CLICKHOUSE_DSN"
    )


def _is_refusal(error: ClickHouseError) -> bool:
    """Whether ClickHouse itself said no; a connection that fails is a DatabaseError of the client too."""
    code = error.code if isinstance(error, DatabaseError) else None
    return code is not None and code not in _PASSING


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _without_comments(sql: str) -> str:
    return "\n".join(line for line in sql.splitlines() if not line.startswith("--"))
