"""Items for tests of the pure parts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from consumers.delivery.item import Item, Received
from schemas.headers import Headers
from schemas.topics import Priority
from tests.consumers.results import result_with_findings

TEMPLATE = result_with_findings()


def received(
    offset: int = 0, *, headers: Headers | None = None, is_retry: bool = False, partition: int = 0
) -> Received:
    return Received(
        topic="g.retry" if is_retry else "inference.results",
        partition=partition,
        offset=offset,
        key=b"key",
        value=b"value",
        headers=headers or [],
        timestamp_ms=1000 + offset,
        is_retry=is_retry,
        epoch=1,
    )


def item(study: str, offset: int, priority: Priority = Priority.P3_NORMAL) -> Item:
    result = replace(TEMPLATE, study_instance_uid=study, priority=priority)
    return Item(received(offset), result)


def retry_of(first: Item, offset: int, not_before: datetime, attempt: int = 1) -> Item:
    headers = [
        ("scanstream_offset", str(first.received.first_offset).encode()),
        ("scanstream_attempt", str(attempt).encode()),
        ("scanstream_not_before", not_before.isoformat().encode()),
    ]
    return Item(received(offset, headers=headers, is_retry=True), first.result)
