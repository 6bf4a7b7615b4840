"""Storage commitment requests that wait for their report, and those that have it (PS3.4 J.3).

Plain functions on a connection; the transaction belongs to the caller. A request is decided once; its report is
then the same however often it must be sent.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Final

#: SOP Class UID and SOP Instance UID of a referenced instance.
Reference = tuple[str, str]
#: Instances that failed, with Failure Reason (0008,1197).
Failures = dict[str, int]

DDL: Final = (
    "CREATE TABLE IF NOT EXISTS commitments (peer TEXT NOT NULL, transaction_uid TEXT NOT NULL,"
    " own_ae_title TEXT NOT NULL, instances TEXT NOT NULL, failures TEXT, requested_at REAL NOT NULL,"
    " tries INTEGER NOT NULL DEFAULT 0, next_try_at REAL, ended_at REAL, ending TEXT,"
    " PRIMARY KEY (peer, transaction_uid)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS commitments_pending ON commitments (ended_at, next_try_at)",
)


@dataclass(frozen=True)
class Commitment:
    """One request.

    Attributes
    ----------
    peer
        AE title that asked.
    transaction_uid
        Its name for the request.
    own_ae_title
        AE title that it called, and that the report comes from.
    instances
        What it asked for.
    failures
        Which of them are not committed; ``None`` while that is not decided.
    requested_at
        Unix time, seconds.
    tries
        Attempts to report so far.
    """

    peer: str
    transaction_uid: str
    own_ae_title: str
    instances: tuple[Reference, ...]
    failures: Failures | None
    requested_at: float
    tries: int


class TransactionInUse(Exception):
    """Another request, or one that has its report, came under this Transaction UID."""


class TooMany(Exception):
    """More requests wait for their reports than are kept."""


def add(connection: sqlite3.Connection, request: Commitment, most: int) -> None:
    """Keep a request.

    The same request again while the first one waits for its report changes nothing, and is no error: the peer did
    not get our answer.

    Parameters
    ----------
    connection
        Database.
    request
        Not decided yet.
    most
        Requests that may wait at the same time.

    Raises
    ------
    TransactionInUse
        The peer has used the Transaction UID for something else.
    TooMany
        ``most`` are waiting.
    """
    row = connection.execute(
        "SELECT instances, ended_at FROM commitments WHERE peer = ? AND transaction_uid = ?",
        (request.peer, request.transaction_uid),
    ).fetchone()
    instances = json.dumps(request.instances)
    if row is not None:
        if row["ended_at"] is None and row["instances"] == instances:
            return
        raise TransactionInUse
    if pending_count(connection) >= most:
        raise TooMany
    connection.execute(
        "INSERT INTO commitments (peer, transaction_uid, own_ae_title, instances, requested_at)"
        " VALUES (?, ?, ?, ?, ?)",
        (request.peer, request.transaction_uid, request.own_ae_title, instances, request.requested_at),
    )


def pending_count(connection: sqlite3.Connection) -> int:
    """Requests without an ending."""
    (count,) = connection.execute("SELECT count(*) FROM commitments WHERE ended_at IS NULL").fetchone()
    return int(count)


def undecided(connection: sqlite3.Connection) -> list[Commitment]:
    """Requests of which nobody has looked at the instances, oldest first."""
    return _commitments(
        connection.execute(
            "SELECT * FROM commitments WHERE ended_at IS NULL AND failures IS NULL ORDER BY requested_at"
        )
    )


def due(connection: sqlite3.Connection, now: float, most: int) -> list[Commitment]:
    """Decided requests whose report should be tried now, at most so many; those that wait longest first."""
    return _commitments(
        connection.execute(
            "SELECT * FROM commitments WHERE ended_at IS NULL AND next_try_at <= ? ORDER BY next_try_at LIMIT ?",
            (now, most),
        )
    )


def next_due(connection: sqlite3.Connection) -> float | None:
    """Unix time at which the next report is to be tried."""
    (moment,) = connection.execute("SELECT min(next_try_at) FROM commitments WHERE ended_at IS NULL").fetchone()
    return None if moment is None else float(moment)


def decide(connection: sqlite3.Connection, commitment: Commitment, failures: Failures) -> None:
    """Fix what the report says."""
    _update(connection, commitment, "failures = ?", json.dumps(failures))


def put_off(connection: sqlite3.Connection, commitment: Commitment, next_try_at: float, tries: int) -> None:
    """Try again at a Unix time, seconds."""
    _update(connection, commitment, "next_try_at = ?, tries = ?", next_try_at, tries)


def put_off_all(connection: sqlite3.Connection, next_try_at: float) -> int:
    """After a start: every decided request is due at a Unix time; returns how many."""
    return connection.execute(
        "UPDATE commitments SET next_try_at = ? WHERE ended_at IS NULL AND failures IS NOT NULL", (next_try_at,)
    ).rowcount


def end(connection: sqlite3.Connection, commitment: Commitment, ending: str, now: float) -> None:
    """Nothing is to be done any more: ``ending`` says why."""
    _update(connection, commitment, "ended_at = ?, ending = ?, next_try_at = NULL", now, ending)


def forget(connection: sqlite3.Connection, before: float) -> None:
    """Remove requests that ended before a Unix time; their transactions are then unknown."""
    connection.execute("DELETE FROM commitments WHERE ended_at < ?", (before,))


def _update(connection: sqlite3.Connection, commitment: Commitment, what: str, *values: object) -> None:
    connection.execute(
        f"UPDATE commitments SET {what} WHERE peer = ? AND transaction_uid = ?",  # noqa: S608 - fixed names
        (*values, commitment.peer, commitment.transaction_uid),
    )


def _commitments(rows: sqlite3.Cursor) -> list[Commitment]:
    return [
        Commitment(
            row["peer"],
            row["transaction_uid"],
            row["own_ae_title"],
            tuple((sop_class, sop) for sop_class, sop in json.loads(row["instances"])),
            None if row["failures"] is None else json.loads(row["failures"]),
            row["requested_at"],
            row["tries"],
        )
        for row in rows
    ]
