"""End of a delivery → the records that one transaction writes: outcome, retry or dead letter. Pure.

Every settlement belongs to one message that was read; its offset is committed in the same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from consumers.delivery.item import Received
from consumers.delivery.outcome import delivery_outcome, reason_of, status_of
from consumers.delivery.work import Work
from schemas import headers
from schemas.errors import PermanentRejection, ScanstreamError
from schemas.events import DeliveryOutcome, DeliveryStatus, ObjectOutcome
from schemas.topics import dlq_topic, retry_topic


@dataclass(frozen=True)
class Forward:
    """Original bytes for the retry or dead-letter topic, with failure headers."""

    topic: str
    headers: headers.Headers
    is_retry: bool = False


@dataclass(frozen=True)
class Settlement:
    """What becomes of one message."""

    received: Received
    outcome: DeliveryOutcome | None = None
    forward: Forward | None = None


class Clerk:
    """Writes settlements for one consumer group and destination.

    Parameters
    ----------
    group
        Consumer group; names its retry and dead-letter topics.
    destination
        Name of the destination.
    """

    def __init__(self, group: str, destination: str) -> None:
        self._group = group
        self._destination = destination

    def answered(self, work: Work, objects: tuple[ObjectOutcome, ...], now: datetime) -> Settlement:
        """The destination answered: an outcome, and a dead letter where it refused anything."""
        status = status_of(objects)
        outcome = delivery_outcome(
            work.subject, self._destination, work.received.attempt, now, status, objects, reason_of(objects)
        )
        refused = [one for one in objects if one.status is DeliveryStatus.FAILED]
        if not refused:
            return Settlement(work.received, outcome)
        error = PermanentRejection(refused[0].reason or "refused without a reason", refused[0].status_code)
        return Settlement(work.received, outcome, self._dead_letter(work.received, error, now))

    def skipped(self, work: Work, reason: str, now: datetime) -> Settlement:
        """There is nothing to deliver of this result."""
        outcome = delivery_outcome(
            work.subject, self._destination, work.received.attempt, now, DeliveryStatus.SKIPPED, reason=reason
        )
        return Settlement(work.received, outcome)

    def given_up(self, work: Work, error: ScanstreamError, now: datetime) -> Settlement:
        """The result cannot be delivered: outcome ``failed`` and a dead letter."""
        outcome = delivery_outcome(
            work.subject,
            self._destination,
            work.received.attempt,
            now,
            DeliveryStatus.FAILED,
            reason=f"{type(error).__name__}: {error}"[:1000],
        )
        return Settlement(work.received, outcome, self._dead_letter(work.received, error, now))

    def unreadable(self, received: Received, error: ScanstreamError, now: datetime) -> Settlement:
        """The message is no result that we can read: a dead letter, without an outcome."""
        return Settlement(received, None, self._dead_letter(received, error, now))

    def retry(self, work: Work, error: ScanstreamError, now: datetime, not_before: datetime) -> Settlement:
        """Try again later."""
        told = self._failure(work.received, error, now, not_before)
        return Settlement(work.received, None, Forward(retry_topic(self._group), told, is_retry=True))

    def _dead_letter(self, received: Received, error: ScanstreamError, now: datetime) -> Forward:
        return Forward(dlq_topic(self._group), self._failure(received, error, now, None))

    def _failure(
        self, received: Received, error: ScanstreamError, now: datetime, not_before: datetime | None
    ) -> headers.Headers:
        kept = received.headers
        if not received.is_retry:
            kept = [(name, value) for name, value in kept if not name.startswith("scanstream_")]
        return headers.failure(
            kept,
            topic=received.topic,
            partition=received.partition,
            offset=received.offset,
            consumer_group=self._group,
            attempt=received.attempt,
            error=error,
            failed_at=now.isoformat(timespec="milliseconds"),
            not_before=None if not_before is None else not_before.isoformat(timespec="milliseconds"),
        )
