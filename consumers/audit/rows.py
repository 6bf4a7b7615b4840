"""Kafka message → audit row, chained to the row before it. Pure.

The chain of a partition starts with :data:`GENESIS`. The same messages always give the same rows and hashes, so a
batch that is built again after a crash is the same batch. The patient's identity, which only worklist items carry,
does not get into a row: neither decoded, nor in the bytes of a message that cannot be decoded.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from schemas import headers
from schemas.codec import Codec, to_json
from schemas.errors import InvalidMessage
from schemas.events import ClinicalContext, Event
from schemas.instants import of_unix
from schemas.topics import Topic

GENESIS: Final = "0" * 64
#: Stands in a row where the message has a worklist item.
WITHHELD: Final = "withheld"

#: Columns of the table ``events`` in the order of :meth:`Row.values`, with their ClickHouse types.
COLUMNS: Final[dict[str, str]] = {
    "topic": "LowCardinality(String)",
    "partition": "UInt32",
    "offset": "UInt64",
    "record": "LowCardinality(String)",
    "event_id": "String",
    "event_time": "DateTime64(3, 'UTC')",
    "source": "LowCardinality(String)",
    "message_key": "String",
    "study_instance_uid": "String",
    "task_id": "String",
    "body": "String",
    "problem": "String",
    "prev_hash": "FixedString(64)",
    "hash": "FixedString(64)",
    "inserted_at": "DateTime64(3, 'UTC')",
}


@dataclass(frozen=True)
class RawMessage:
    """What Kafka delivered; ``timestamp_ms`` is the broker's or producer's time since the epoch."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: headers.Headers
    timestamp_ms: int


@dataclass(frozen=True)
class Row:
    """One row of the table ``events``, without the time of its insert."""

    topic: str
    partition: int
    offset: int
    record: str
    event_id: str
    event_time: datetime
    source: str
    message_key: str
    study_instance_uid: str
    task_id: str
    body: str
    problem: str
    prev_hash: str
    hash: str

    def values(self, inserted_at: datetime) -> list[object]:
        """Values in the order of :data:`COLUMNS`."""
        return [*(getattr(self, name) for name in list(COLUMNS)[:-1]), inserted_at]


def link(topic: str, partition: int, offset: int, prev_hash: str, body: str) -> str:
    """Hash of a row: SHA-256, hexadecimal, of what the table's constraint checks."""
    return hashlib.sha256(f"{topic}|{partition}|{offset}|{prev_hash}|{body}".encode()).hexdigest()


def rows_of(
    messages: Iterable[RawMessage], codec: Codec, heads: dict[tuple[str, int], str]
) -> tuple[list[Row], dict[tuple[str, int], str]]:
    """Rows of a batch, and the heads of the chains after it.

    Parameters
    ----------
    messages
        In offset order within each partition.
    codec
        Decodes values; what it cannot decode is kept as base64 with the reason.
    heads
        Hash of the last row of each ``(topic, partition)``; missing means that the chain starts here.
    """
    after = dict(heads)
    rows = []
    for message in messages:
        chain = (message.topic, message.partition)
        row = _row(message, codec, after.get(chain, GENESIS))
        after[chain] = row.hash
        rows.append(row)
    return rows, after


def _row(message: RawMessage, codec: Codec, prev_hash: str) -> Row:
    record, problem, event_id, study, task = "", "", "", "", ""
    moment = of_unix(message.timestamp_ms / 1000)
    try:
        event = codec.decode(message.value)
    except InvalidMessage as error:
        problem, body = str(error), _undecoded(message)
    else:
        record = type(event).__name__
        event_id = getattr(event, "event_id", "")
        study = getattr(event, "study_instance_uid", None) or ""
        task = getattr(event, "task_id", None) or ""
        moment = getattr(event, "occurred_at", moment)
        body = orjson.dumps(_shown(event), option=orjson.OPT_SORT_KEYS).decode()
    return Row(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        record=record,
        event_id=event_id,
        event_time=moment,
        source=headers.header(message.headers, "ce_source") or "",
        message_key=(message.key or b"").decode("utf-8", "replace"),
        study_instance_uid=study,
        task_id=task,
        body=body,
        problem=problem,
        prev_hash=prev_hash,
        hash=link(message.topic, message.partition, message.offset, prev_hash, body),
    )


def _shown(event: Event) -> Any:
    """JSON form of an event without identity."""
    shown = to_json(event)
    if isinstance(event, ClinicalContext) and event.worklist is not None:
        shown["worklist"] = WITHHELD
    return shown


def _undecoded(message: RawMessage) -> str:
    """Bytes that nobody understands as base64; of the topic with identities their digest, which names them."""
    value = message.value or b""
    if message.topic == Topic.CONTEXT:
        return f"sha256:{hashlib.sha256(value).hexdigest()}"
    return base64.b64encode(value).decode()
