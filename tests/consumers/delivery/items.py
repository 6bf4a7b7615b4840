"""Items for tests of the pure parts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from consumers.delivery.item import Item, Received, Subject, item_of
from consumers.delivery.work import Work
from schemas.events import Adjudication, Decision, InferenceResult
from schemas.headers import Headers
from schemas.ids import event_id
from schemas.topics import Priority, Topic
from tests.consumers.results import FINISHED, result_with_findings

TEMPLATE = result_with_findings()


def received(
    offset: int = 0,
    *,
    study: str = "study",
    topic: str = Topic.RESULTS,
    headers: Headers | None = None,
    is_retry: bool = False,
    timestamp_ms: int | None = None,
    partition: int = 0,
) -> Received:
    return Received(
        topic="g.retry" if is_retry else topic,
        partition=partition,
        offset=offset,
        key=study.encode(),
        value=b"value",
        headers=headers or [],
        timestamp_ms=1000 + offset if timestamp_ms is None else timestamp_ms,
        is_retry=is_retry,
        epoch=1,
    )


def item(
    study: str, offset: int, priority: Priority = Priority.P3_NORMAL, timestamp_ms: int | None = None
) -> Item:
    told = [("ce_id", f"result-{offset}".encode())]
    return item_of(received(offset, study=study, headers=told, timestamp_ms=timestamp_ms), priority.rank)


def verdict(study: str, offset: int, timestamp_ms: int) -> Item:
    message = received(offset, study=study, topic=Topic.REVIEW, timestamp_ms=timestamp_ms)
    return item_of(message, Priority.P3_NORMAL.rank)


def retry_of(first: Item, offset: int, not_before: datetime, attempt: int = 1) -> Item:
    headers = [
        ("scanstream_topic", first.place[0].encode()),
        ("scanstream_offset", str(first.offset).encode()),
        ("scanstream_attempt", str(attempt).encode()),
        ("scanstream_not_before", not_before.isoformat().encode()),
    ]
    return item_of(received(offset, study=first.study, headers=headers, is_retry=True), first.rank)


def work(given: Item, subject: Subject | None = None) -> Work:
    assert given.received is not None
    return Work(
        given, given.received, subject or Subject(replace(TEMPLATE, study_instance_uid=given.study)), "gw:1"
    )


def adjudication(result: InferenceResult) -> Adjudication:
    return Adjudication(
        event_id=event_id("adjudication", result.event_id, "reader-1"),
        occurred_at=FINISHED,
        finding_id=result.findings[0].finding_id,
        task_id=result.task_id,
        study_instance_uid=result.study_instance_uid,
        decision=Decision.CONFIRMED,
        reviewer="reader-1",
        result=result,
    )
