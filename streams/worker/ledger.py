"""Answer + offset of its task → one Kafka transaction: both become visible, or neither."""

from __future__ import annotations

from typing import Final

from confluent_kafka import Consumer, TopicPartition

from producers.kafka import EventPublisher
from schemas import headers
from schemas.codec import Codec
from schemas.errors import ScanstreamError
from schemas.headers import Headers
from schemas.topics import WORKER_GROUP, dlq_topic, retry_topic
from streams.clock import Clock
from streams.worker.answers import Answer
from streams.worker.backlog import Job, Received

RETRY: Final = retry_topic(WORKER_GROUP)
DEAD_LETTERS: Final = dlq_topic(WORKER_GROUP)


class Ledger:
    """Writes what became of tasks.

    Parameters
    ----------
    consumer
        Whose offsets are committed.
    codec
        Encodes the next attempt of a task.
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

    def write(self, publisher: EventPublisher, job: Job, answer: Answer) -> None:
        """Commit an answer.

        Raises
        ------
        DestinationUnavailable
            Kafka did not say that it is committed.
        PermanentRejection
            Another process took this one's place.
        """
        trace = headers.header(job.received.headers, "traceparent")
        with publisher.transaction() as transaction:
            for topic, key, event in answer.events:
                transaction.publish(topic, key, event, trace)
            if answer.retry is not None and answer.error is not None:
                own = headers.cloud_event(answer.retry, self._source, trace)
                failure = self._failure(own, job.received, job.task.attempt, answer.error)
                transaction.publish_raw(RETRY, job.received.key, self._codec.encode(answer.retry), failure)
            if answer.dead_letter and answer.error is not None:
                failure = self._failure(job.received.headers, job.received, job.task.attempt, answer.error)
                transaction.publish_raw(DEAD_LETTERS, job.received.key, job.received.value, failure)
            transaction.consumed([_next(job.received)], self._consumer)

    def dead_letter(self, publisher: EventPublisher, received: Received, error: ScanstreamError) -> None:
        """Put a message that cannot be read on the dead-letter topic, as it came.

        Raises
        ------
        DestinationUnavailable
            Kafka did not say that it is committed.
        PermanentRejection
            Another process took this one's place.
        """
        failure = self._failure(received.headers, received, 1, error)
        with publisher.transaction() as transaction:
            transaction.publish_raw(DEAD_LETTERS, received.key, received.value, failure)
            transaction.consumed([_next(received)], self._consumer)

    def _failure(
        self, original: Headers | None, received: Received, attempt: int, error: ScanstreamError
    ) -> Headers:
        return headers.failure(
            original,
            topic=received.partition.topic,
            partition=received.partition.number,
            offset=received.offset,
            consumer_group=WORKER_GROUP,
            attempt=attempt,
            error=error,
            failed_at=self._clock().utc.isoformat(timespec="milliseconds"),
        )


def _next(received: Received) -> TopicPartition:
    return TopicPartition(*received.partition, received.offset + 1)
