"""What a destination said to the objects of a result → its delivery outcome, a deterministic event. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from consumers.delivery.item import Subject
from schemas.events import DeliveryOutcome, DeliveryStatus, ObjectOutcome
from schemas.ids import event_id

NOTHING_TO_DO = "this destination wants nothing of this result"


def status_of(objects: Sequence[ObjectOutcome]) -> DeliveryStatus:
    """Status of a delivery: that of its objects where they agree, else partial.

    Objects that the destination did not want count only where it wanted none.
    """
    wanted = {item.status for item in objects} - {DeliveryStatus.SKIPPED}
    if not wanted:
        return DeliveryStatus.SKIPPED
    return wanted.pop() if len(wanted) == 1 else DeliveryStatus.PARTIAL


def reason_of(objects: Sequence[ObjectOutcome]) -> str | None:
    """First reason that an object gives for not being stored."""
    told = [item.reason for item in objects if item.status is not DeliveryStatus.STORED and item.reason]
    if told:
        return told[0]
    return None if objects else NOTHING_TO_DO


def delivery_outcome(
    subject: Subject,
    destination: str,
    attempt: int,
    now: datetime,
    status: DeliveryStatus,
    objects: tuple[ObjectOutcome, ...] = (),
    reason: str | None = None,
) -> DeliveryOutcome:
    """Outcome event of one result, or verdict, at one destination.

    Its id follows from that event, destination and status: a second delivery after a crash is the same event, a
    success after a dead letter was replayed is another one.

    Parameters
    ----------
    now
        When the destination confirmed, or refused.
    """
    result = subject.result
    return DeliveryOutcome(
        event_id=event_id("delivery", destination, subject.event_id, status.value),
        occurred_at=now,
        task_id=result.task_id,
        study_instance_uid=result.study_instance_uid,
        revision=result.revision,
        destination=destination,
        status=status,
        attempt=attempt,
        priority=result.priority,
        latency_ms=max(0.0, (now - subject.since).total_seconds() * 1000),
        objects=objects,
        reason=reason,
    )
