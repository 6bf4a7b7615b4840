"""Rows that are to become events on Kafka: written in the commit of the instance, read by the relay.

Sequence numbers only ever grow, even when the index was lost, restored from a backup or rebuilt: every start of
the store continues from the clock's microseconds. So "published up to n" on Kafka can never cover a newer row.
Rows wait in two lanes, each in its own order; the lane of a message is decided when it is written.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from producers.store.database import Readers
from schemas.headers import Headers


class Lane(IntEnum):
    """Order of service: every urgent row goes before any normal one."""

    URGENT = 0
    NORMAL = 1


@dataclass(frozen=True)
class Message:
    """An event ready to be sent."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers


@dataclass(frozen=True)
class Row:
    """A message with its place in the outbox; ``created_at`` is Unix time in seconds."""

    sequence: int
    message: Message
    created_at: float
    lane: Lane = Lane.NORMAL


class Outbox:
    """What the relay needs of the store.

    Attributes
    ----------
    committed
        Set at every commit that added rows; the relay waits for it.
    identity
        Tells this outbox from every other: sequence numbers of two can be compared only if it is the same.
    """

    def __init__(
        self, readers: Readers, committed: threading.Event, delete: Callable[[Lane, int], None], identity: int
    ) -> None:
        self.committed = committed
        self.identity = identity
        self._readers = readers
        self._delete = delete

    def read(self, after: int, max_rows: int, max_bytes: int, lane: Lane | None = None) -> list[Row]:
        """Next rows of a lane (``None``: of both) in order: at most so many rows and bytes, but at least one row.

        Parameters
        ----------
        after
            Sequence number of the last row that is known already.
        max_rows, max_bytes
            Bounds; bytes are those of the values.
        lane
            Which rows.
        """
        rows: list[Row] = []
        size = 0
        text = _READ_LANE if lane is not None else _READ
        parameters = (after, max_rows) if lane is None else (int(lane), after, max_rows)
        for sequence, topic, key, value, headers, created_at, of in self._readers.connection().execute(
            text, parameters
        ):
            size += len(value)
            if rows and size > max_bytes:
                break
            message = Message(topic, key, value, decode_headers(headers))
            rows.append(Row(sequence, message, created_at, _LANES[of]))
        return rows

    def published(self, sequence: int, lane: Lane | None = None) -> None:
        """Rows of a lane (``None``: of both) up to this one are on Kafka; one of the next commits deletes them."""
        for each in Lane if lane is None else (lane,):
            self._delete(each, sequence)

    def backlog(self, after: int, lane: Lane | None = None) -> tuple[int, float | None]:
        """Number of rows of a lane (``None``: of both) behind ``after``, and Unix time of the first of them."""
        connection = self._readers.connection()
        count, first = 0, None
        for each in Lane if lane is None else (lane,):
            # Both are answered by the index of the lanes, however many rows wait.
            rows, sequence = connection.execute(_BACKLOG, (int(each), after)).fetchone()
            if rows:
                (created_at,) = connection.execute(_CREATED, (sequence,)).fetchone() or (None,)
                first = created_at if first is None else min(first, created_at or first)
            count += int(rows)
        return count, first

    def studies(self) -> set[str]:
        """Keys of all rows that wait: the studies that they speak of."""
        return {
            bytes(key).decode("utf-8", "replace")
            for (key,) in self._readers.connection().execute("SELECT DISTINCT key FROM outbox")
        }


_COLUMNS: Final = "sequence, topic, key, value, headers, created_at, lane"
_READ: Final = f"SELECT {_COLUMNS} FROM outbox WHERE sequence > ? ORDER BY sequence LIMIT ?"  # noqa: S608 - our own names
_READ_LANE: Final = f"SELECT {_COLUMNS} FROM outbox WHERE lane = ? AND sequence > ? ORDER BY sequence LIMIT ?"  # noqa: S608 - our own names
_BACKLOG: Final = "SELECT count(*), min(sequence) FROM outbox WHERE lane = ? AND sequence > ?"
_CREATED: Final = "SELECT created_at FROM outbox WHERE sequence = ?"
_LANES: Final = {int(lane): lane for lane in Lane}

INSERT: Final = "INSERT INTO outbox (topic, key, value, headers, created_at, lane) VALUES (?, ?, ?, ?, ?, ?)"


def add(connection: sqlite3.Connection, message: Message, created_at: float, lane: Lane = Lane.NORMAL) -> None:
    """Insert a row; the transaction belongs to the caller."""
    connection.execute(
        INSERT,
        (message.topic, message.key, message.value, encode_headers(message.headers), created_at, int(lane)),
    )


def continue_from(connection: sqlite3.Connection, least: int) -> None:
    """Make the next sequence number greater than ``least`` and than every earlier one."""
    connection.execute(
        "INSERT INTO sqlite_sequence (name, seq) SELECT 'outbox', 0"
        " WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'outbox')"
    )
    connection.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'outbox'", (least,))


def encode_headers(headers: Headers) -> bytes:
    """Bytes of a row's header column: names and values, each ended by a zero byte."""
    return b"".join([part for name, value in headers for part in (name.encode(), b"\0", value, b"\0")])


def decode_headers(data: bytes) -> Headers:
    """Inverse of :func:`encode_headers`; reads the JSON lists of earlier releases too."""
    if data[:1] == b"[":
        return [(name, value.encode()) for name, value in json.loads(data)]
    parts = bytes(data).split(b"\0")
    return [(parts[place].decode(), parts[place + 1]) for place in range(0, len(parts) - 1, 2)]
