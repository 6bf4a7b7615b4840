"""Steps, dead letters and offsets → Kafka, visible together or not at all.

What Kafka could not take stays here and is written with the next. Offsets alone are written once a second. Nothing
is written while the partitions are not ours: another process may have moved the same alarms meanwhile.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from confluent_kafka import Consumer, Message, TopicPartition

from consumers.escalation.book import Book
from consumers.escalation.places import Places
from producers.kafka import EventPublisher
from producers.messages import bytes_of, headers_of
from producers.telemetry import Telemetry
from schemas import headers
from schemas.errors import DestinationUnavailable, InvalidMessage, ScanstreamError
from schemas.events import EscalationStage, EscalationStep
from schemas.logs import fields
from schemas.topics import WRITER_GROUPS, Topic, dlq_topic

log = logging.getLogger(__name__)

_OFFSETS_EVERY_S: Final = 1.0
_KAFKA_RETRY_S: Final = 0.5
#: Longest wait for a broker that is away, in seconds; alarms stand still so long.
_START_S: Final = 2.0
#: So many messages in a row that nobody can read mean that this process is wrong, not they.
BRAKE: Final = 50

_GROUP: Final = WRITER_GROUPS["escalation"]


class _Letter(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: headers.Headers


class Journal:
    """What is not committed yet.

    Parameters
    ----------
    publisher
        Makes a transactional publisher, not started; called again after each error of a transaction. (librdkafka
        was seen to wait for ever in the second transaction after one that the broker's end had broken.)
    consumer
        Whose offsets are committed.
    telemetry
        Counts dead letters.
    clock
        Monotonic time in seconds.
    """

    def __init__(
        self,
        publisher: Callable[[], EventPublisher],
        consumer: Consumer,
        telemetry: Telemetry,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._new_publisher = publisher
        self._publisher: EventPublisher | None = None
        self._consumer = consumer
        self._telemetry = telemetry
        self._clock = clock
        self._steps: list[tuple[int, EscalationStep]] = []
        self._before: dict[str, str] = {}
        self._forgotten: list[tuple[int, str]] = []
        self._letters: list[_Letter] = []
        self._bad_in_a_row = 0
        self._not_before = 0.0
        self._offsets_at = 0.0
        self.places: Places | None = None

    @property
    def has_steps(self) -> bool:
        """Whether steps wait."""
        return bool(self._steps)

    def is_uncommitted_opening(self, escalation_id: str) -> bool:
        """Whether the first step of an alarm is not committed yet, so that nobody may be told."""
        return any(
            step.escalation_id == escalation_id and step.stage is EscalationStage.OPENED for _, step in self._steps
        )

    def add(self, partition: int, step: EscalationStep, before: EscalationStep | None) -> None:
        """Have a step written that follows another one (``None``: it is the first of its alarm)."""
        if before is not None:
            self._before.setdefault(step.escalation_id, before.event_id)
        self._steps.append((partition, step))

    def forget(self, partition: int, escalation_id: str) -> None:
        """Have an alarm dropped from the changelog."""
        self._forgotten.append((partition, escalation_id))

    def understood(self) -> None:
        """A message could be read."""
        self._bad_in_a_row = 0

    def put_aside(self, message: Message, error: InvalidMessage, now: datetime) -> None:
        """Have a message that cannot be read written to the dead-letter topic.

        Raises
        ------
        ScanstreamError
            There were too many in a row; nothing of this is committed.
        """
        self._bad_in_a_row += 1
        where = f"{message.topic()}[{message.partition()}]@{message.offset()}"
        if self._bad_in_a_row > BRAKE:
            raise ScanstreamError(
                f"{self._bad_in_a_row} messages in a row could not be read, the last at {where} ({error}): check "
                "that this release and SCHEMA_REGISTRY_URL fit the producers, then start again; nothing is lost"
            )
        failure = headers.failure(
            headers_of(message),
            topic=message.topic() or "",
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            consumer_group=_GROUP,
            attempt=1,
            error=error,
            failed_at=now.isoformat(timespec="milliseconds"),
        )
        self._letters.append(_Letter(*headers.letter(bytes_of(message.key()), bytes_of(message.value()), failure)))
        self._telemetry.count(
            "scanstream_messages_failed_total", topic=message.topic() or "", error=type(error).__name__
        )
        log.warning("message put aside", extra=fields(message=where, to=dlq_topic(_GROUP), reason=str(error)))

    def reconcile(self, book: Book) -> None:
        """Partitions came, the book holds what is committed: go on from what was done since, where it still fits.

        It fits where the committed step is the one that ours followed, or one of ours: then nobody else has moved
        the alarm. What followed from input that is not committed is dropped, as it will be read again.
        """
        steps, before = self._steps, self._before
        self._void()
        passed: set[str] = set()
        for partition, step in steps:
            identity = step.escalation_id
            known = book.find(identity)
            if known is None:
                continue
            if identity not in passed and known.event_id == before.get(identity):
                passed.add(identity)
            if identity in passed:
                self.add(partition, step, known)
                book.note(partition, step)
            elif known.event_id == step.event_id:
                passed.add(identity)
        if len(self._steps) < len(steps):
            log.info("steps given up", extra=fields(steps=len(steps) - len(self._steps)))

    def _void(self) -> None:
        self._steps, self._forgotten, self._letters, self._before = [], [], [], {}

    def write(self) -> None:
        """Commit what waits; stays with it while Kafka is away.

        Raises
        ------
        PermanentRejection
            Another process took this one's place.
        """
        now = self._clock()
        if now < self._not_before or self.places is None or not self.places.owned:
            return
        waiting = self._steps or self._letters or self._forgotten
        if not waiting and now < self._offsets_at:
            return
        self._offsets_at = now + _OFFSETS_EVERY_S
        offsets = self.places.to_commit()
        if not waiting and not offsets:
            return
        try:
            self._transact(offsets)
        except DestinationUnavailable as error:
            self._publisher = None
            self._not_before = self._clock() + _KAFKA_RETRY_S
            log.warning("steps not committed yet", extra=fields(reason=str(error)))
            return
        self.places.committed(offsets)
        self._void()

    def start(self) -> EventPublisher:
        """Publisher to write with; ends what a predecessor of our name left open.

        Raises
        ------
        DestinationUnavailable
            Kafka is away.
        """
        if self._publisher is None:
            publisher = self._new_publisher()
            publisher.start(_START_S)
            self._publisher = publisher
        return self._publisher

    def _transact(self, offsets: list[TopicPartition]) -> None:
        with self.start().transaction() as transaction:
            for partition, step in self._steps:
                transaction.publish(Topic.ESCALATIONS, step.escalation_id, step, partition=partition)
            for partition, identity in self._forgotten:
                transaction.publish_raw(Topic.ESCALATIONS, identity.encode(), None, [], partition=partition)
            for letter in self._letters:
                transaction.publish_raw(dlq_topic(_GROUP), letter.key, letter.value, letter.headers)
            transaction.consumed(offsets, self._consumer)
