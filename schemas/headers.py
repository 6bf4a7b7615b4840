"""Event → Kafka headers: CloudEvents binary mode and W3C trace context; and failure headers of retry and DLQ.

CloudEvents 1.0.2 Kafka binding 3.2 (``ce_`` prefix, ``content-type``). Headers never carry patient identity.
"""

from __future__ import annotations

from typing import Final

from schemas import events, registry
from schemas.errors import InvalidMessage
from schemas.instants import rfc3339
from schemas.topics import MAX_MESSAGE_BYTES, Priority

CONTENT_TYPE: Final = "application/avro"

#: Room for failure headers, in bytes, which a message that is passed on has beside its own.
_FAILURE_BYTES: Final = 32 * 1024
#: Bytes of a header or a batch beside its texts.
_FRAME_BYTES: Final = 16

Headers = list[tuple[str, bytes]]


def cloud_event(event: events.Event, source: str, traceparent: str | None = None) -> Headers:
    """Headers of one event.

    Parameters
    ----------
    event
        The event; records without an id of their own (changelog records) get none.
    source
        Process that emits it, such as ``/hospital/gateway-1`` (CloudEvents ``source``).
    traceparent
        W3C trace context to pass on, or ``None``.
    """
    values = {
        "ce_specversion": "1.0",
        "ce_type": f"{registry.NAMESPACE}.{type(event).__name__}",
        "ce_source": source,
        "ce_time": event_time(event),
        "content-type": CONTENT_TYPE,
    }
    identifier = getattr(event, "event_id", None)
    if identifier is not None:
        values["ce_id"] = identifier
    priority = priority_of(event)
    if priority is not None:
        values["ce_priority"] = priority
    if traceparent is not None:
        values["traceparent"] = traceparent
    return [(name, value.encode()) for name, value in values.items()]


def priority_of(event: events.Event) -> str | None:
    """Class of urgency of an event, so that a reader can choose without decoding; ``None`` where it has none."""
    about = event.result if isinstance(event, events.Adjudication) else event
    priority = getattr(about, "priority", None)
    return priority.value if isinstance(priority, Priority) else None


def event_time(event: events.Event) -> str:
    """RFC 3339 time of an event."""
    moment = event.last_instance_at if isinstance(event, events.AssemblyState) else event.occurred_at
    return rfc3339(moment)


def header(headers: Headers | None, name: str) -> str | None:
    """Value of the last header called ``name``."""
    for key, value in reversed(headers or []):
        if key == name:
            return value.decode("utf-8", "replace")
    return None


def failure(
    original: Headers | None,
    *,
    topic: str,
    partition: int,
    offset: int,
    consumer_group: str,
    attempt: int,
    error: BaseException,
    failed_at: str,
    not_before: str | None = None,
) -> Headers:
    """Original headers plus what a retry or dead-letter reader needs to know.

    ``scanstream_topic``, ``_partition`` and ``_offset`` stay those of the first topic through all retries.
    """
    kept = [(key, value) for key, value in original or [] if not key.startswith("scanstream_")]
    where = {
        "scanstream_topic": header(original, "scanstream_topic") or topic,
        "scanstream_partition": header(original, "scanstream_partition") or str(partition),
        "scanstream_offset": header(original, "scanstream_offset") or str(offset),
        "scanstream_first_failed_at": header(original, "scanstream_first_failed_at") or failed_at,
        "scanstream_failed_at": failed_at,
        "scanstream_consumer_group": consumer_group,
        "scanstream_attempt": str(attempt),
        "scanstream_error": type(error).__name__,
        "scanstream_reason": str(error)[:1000],
    }
    if not_before is not None:
        where["scanstream_not_before"] = not_before
    return kept + [(name, value.encode()) for name, value in where.items()]


def require_room(key: bytes | None, value: bytes | None, headers: Headers | None) -> None:
    """Make sure that a message can be put on another topic with what is to be told of it.

    A compressed one may be far larger than the broker has seen, and its copy would never be taken.

    Raises
    ------
    InvalidMessage
        It has no room for failure headers.
    """
    own = [(name, text) for name, text in headers or [] if not name.startswith("scanstream_")]
    size, most = _size(key, value, own), MAX_MESSAGE_BYTES - _FAILURE_BYTES
    if size > most:
        raise InvalidMessage(
            f"the message has {size} bytes, and one that may have to be tried again has {most} at most: "
            "find out who wrote it"
        )


def letter(key: bytes | None, value: bytes | None, failed: Headers) -> tuple[bytes | None, bytes | None, Headers]:
    """Key, value and headers of a dead letter, less what Kafka would not take.

    ``scanstream_omitted`` tells the size of a value that was left out; it lies where ``scanstream_topic``,
    ``_partition`` and ``_offset`` say.
    """
    if _size(key, value, failed) <= MAX_MESSAGE_BYTES - _FAILURE_BYTES // 2:
        return key, value, failed
    told = [(name, text) for name, text in failed if name.startswith("scanstream_")]
    omitted = ("scanstream_omitted", str(len(value or b"")).encode())
    return (key if _size(key, None, told) <= _FAILURE_BYTES else None), None, [*told, omitted]


def _size(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    told = sum(len(name.encode()) + len(text) + _FRAME_BYTES for name, text in headers)
    return len(key or b"") + len(value or b"") + told + _FRAME_BYTES
