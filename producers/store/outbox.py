"""Rows that are to become events on Kafka: written in the commit of the instance, read by the relay.

Sequence numbers only ever grow, even when the index was lost, restored from a backup or rebuilt: every start of
the store continues from the clock's microseconds. So "published up to n" on Kafka can never cover a newer row.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass

from producers.store.database import Readers
from schemas.headers import Headers


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
        self, readers: Readers, committed: threading.Event, delete: Callable[[int], None], identity: int
    ) -> None:
        self.committed = committed
        self.identity = identity
        self._readers = readers
        self._delete = delete

    def read(self, after: int, max_rows: int, max_bytes: int) -> list[Row]:
        """Next rows in order: at most ``max_rows`` and ``max_bytes`` of values, but at least one."""
        rows: list[Row] = []
        size = 0
        cursor = self._readers.connection().execute(
            "SELECT sequence, topic, key, value, headers, created_at FROM outbox"
            " WHERE sequence > ? ORDER BY sequence LIMIT ?",
            (after, max_rows),
        )
        for sequence, topic, key, value, headers, created_at in cursor:
            size += len(value)
            if rows and size > max_bytes:
                break
            rows.append(Row(sequence, Message(topic, key, value, decode_headers(headers)), created_at))
        return rows

    def published(self, sequence: int) -> None:
        """Rows up to this one are on Kafka; they are deleted with one of the next commits."""
        self._delete(sequence)

    def backlog(self, after: int) -> tuple[int, float | None]:
        """Number of rows behind ``after``, and Unix time of the oldest of them."""
        count, oldest = (
            self._readers.connection()
            .execute("SELECT count(*), min(created_at) FROM outbox WHERE sequence > ?", (after,))
            .fetchone()
        )
        return int(count), oldest


def add(connection: sqlite3.Connection, message: Message, created_at: float) -> None:
    """Insert a row; the transaction belongs to the caller."""
    connection.execute(
        "INSERT INTO outbox (topic, key, value, headers, created_at) VALUES (?, ?, ?, ?, ?)",
        (message.topic, message.key, message.value, encode_headers(message.headers), created_at),
    )


def continue_from(connection: sqlite3.Connection, least: int) -> None:
    """Make the next sequence number greater than ``least`` and than every earlier one."""
    connection.execute(
        "INSERT INTO sqlite_sequence (name, seq) SELECT 'outbox', 0"
        " WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'outbox')"
    )
    connection.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'outbox'", (least,))


def encode_headers(headers: Headers) -> bytes:
    """Bytes of a row's header column."""
    return json.dumps([(name, value.decode()) for name, value in headers]).encode()


def decode_headers(data: bytes) -> Headers:
    """Inverse of :func:`encode_headers`."""
    return [(name, value.encode()) for name, value in json.loads(data)]
