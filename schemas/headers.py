"""Event → Kafka headers: CloudEvents binary mode and W3C trace context; and failure headers of retry and DLQ.

CloudEvents 1.0.2 Kafka binding 3.2 (``ce_`` prefix, ``content-type``). Headers never carry patient identity.
"""

from __future__ import annotations

from typing import Final

from schemas import events, registry
from schemas.instants import rfc3339
from schemas.topics import Priority

CONTENT_TYPE: Final = "application/avro"

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
