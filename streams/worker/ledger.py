"""Answers + offsets of their tasks → one Kafka transaction: all become visible, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from producers.kafka import EventPublisher, Transaction
from schemas import headers
from schemas.codec import Codec
from schemas.errors import ScanstreamError
from schemas.events import InferenceTask
from schemas.headers import Headers
from schemas.topics import WORKER_GROUP, dlq_topic, retry_topic
from streams.clock import Clock
from streams.worker.answers import Answer
from streams.worker.job import GIVEN_AWAY, Partition, Received

RETRY: Final = retry_topic(WORKER_GROUP)
DEAD_LETTERS: Final = dlq_topic(WORKER_GROUP)


@dataclass(frozen=True)
class Forward:
    """A task for the worker that has this partition; one that stays in its own is not given away."""

    task: InferenceTask
    to: Partition


@dataclass(frozen=True)
class Settlement:
    """What became of one message.

    Attributes
    ----------
    received
        The message.
    answer
        What is written about its task.
    attempt
        Which attempt of the task that was.
    forward
        Where the task goes on, when not here.
    """

    received: Received
    answer: Answer
    attempt: int = 1
    forward: Forward | None = None


def unreadable(received: Received, error: ScanstreamError) -> Settlement:
    """Settlement of a message that is no task: dead-letter topic, as it came; there is nobody to tell."""
    return Settlement(received, Answer("dead_letter", (), error=error, dead_letter=True))


class Ledger:
    """Writes what became of tasks.

    Parameters
    ----------
    consumer
        Whose offsets are committed.
    codec
        Encodes tasks that go on elsewhere.
    source
        CloudEvents ``source`` of this process.
    clock
        Time of a failure.
    """

    def __init__(self, consumer: Consumer, codec: Codec, source: str, clock: Clock) -> None:
        self._consumer = consumer
        self._codec = codec
        self._source = source
        self._clock = clock

    def write(
        self,
        publisher: EventPublisher,
        settlements: Sequence[Settlement],
        offsets: Sequence[TopicPartition],
    ) -> None:
        """Commit settlements.

        Parameters
        ----------
        publisher
            Transactional.
        settlements
            What becomes visible together.
        offsets
            What to commit with them.

        Raises
        ------
        DestinationUnavailable
            Kafka did not say that it is committed.
        PermanentRejection
            Another process took this one's place.
        """
        with publisher.transaction() as transaction:
            for settlement in settlements:
                self._publish(transaction, settlement)
            transaction.consumed(offsets, self._consumer)

    def _publish(self, transaction: Transaction, settlement: Settlement) -> None:
        received, answer, forward = settlement.received, settlement.answer, settlement.forward
        trace = headers.header(received.headers, "traceparent") if received.headers else None
        for topic, key, event in answer.events:
            transaction.publish(topic, key, event, trace)
        if answer.retry is not None and answer.error is not None:
            own = headers.cloud_event(answer.retry, self._source, trace)
            failure = self._failure(own, settlement, answer.error)
            transaction.publish_raw(RETRY, received.key, self._codec.encode(answer.retry), failure)
        if answer.dead_letter and answer.error is not None:
            failure = self._failure(received.headers, settlement, answer.error)
            transaction.publish_raw(DEAD_LETTERS, *headers.letter(received.key, received.value, failure))
        if forward is not None:
            own = headers.cloud_event(forward.task, self._source, trace)
            own.append((GIVEN_AWAY, str(received.given_away + (forward.to != received.partition)).encode()))
            value, (topic_name, number) = self._codec.encode(forward.task), forward.to
            transaction.publish_raw(topic_name, received.key, value, own, number)

    def _failure(self, original: Headers | None, settlement: Settlement, error: ScanstreamError) -> Headers:
        received = settlement.received
        return headers.failure(
            original,
            topic=received.partition.topic,
            partition=received.partition.number,
            offset=received.offset,
            consumer_group=WORKER_GROUP,
            attempt=settlement.attempt,
            error=error,
            failed_at=self._clock().utc.isoformat(timespec="milliseconds"),
        )
