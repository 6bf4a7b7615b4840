"""Task topics → backlog, and answers → one transaction each with the offset of their task.

Everything that touches the consumer happens in the thread that calls :meth:`Intake.turn`. A partition is paused
while a job of it is held, so polling goes on whatever is being computed. Guarantee: an answer is committed only
while its partition is still ours; else, or when the transaction fails, the task is read again from the committed
offset.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from producers.kafka import EventPublisher, kafka_errors
from producers.messages import bytes_of, headers_of
from producers.poll_errors import go_on_after
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.events import InferenceTask
from schemas.logs import fields
from schemas.topics import TASK_TOPICS
from streams.worker.answers import Answer
from streams.worker.backlog import Backlog, Job, Partition, Received
from streams.worker.ledger import Ledger

log = logging.getLogger(__name__)

#: Seconds that a turn waits for a message, while something is computed and while nothing is.
BUSY_POLL_S: Final = 0.005
IDLE_POLL_S: Final = 0.1
#: Seconds that one attempt to reach Kafka may hold up a turn.
REACH_S: Final = 2.0


#: Jobs that ran, with their answers, on their way from the computing thread.
Answered = SimpleQueue[tuple[Job, Answer]]


class Intake:
    """The Kafka side of the worker.

    Parameters
    ----------
    consumer
        Of the workers' group.
    new_publisher
        Makes a transactional publisher; called again after a transaction that failed, to end what it left open.
    ledger
        Writes answers.
    codec
        Decodes tasks.
    backlog
        Gets the jobs.
    answered
        Has the answers of the jobs that ran.
    telemetry
        Counts.
    """

    def __init__(
        self,
        consumer: Consumer,
        new_publisher: Callable[[], EventPublisher],
        ledger: Ledger,
        codec: Codec,
        backlog: Backlog,
        answered: Answered,
        telemetry: Telemetry,
    ) -> None:
        self.assigned = False
        self._consumer = consumer
        self._new_publisher = new_publisher
        self._ledger = ledger
        self._codec = codec
        self._backlog = backlog
        self._answered = answered
        self._telemetry = telemetry
        self._publisher = new_publisher()
        self._started = False
        self._to_reread: dict[Partition, int] = {}

    def subscribe(self) -> None:
        """Join the group."""
        topics = [topic.value for topic in TASK_TOPICS.values()]
        self._consumer.subscribe(
            topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    def turn(self) -> None:
        """Write what is answered, read what is there.

        Raises
        ------
        PermanentRejection
            Another process took this one's place: end.
        """
        if self._reach_kafka():
            self._write_answers()
            for partition in list(self._to_reread):
                self._reread(partition)
        message = self._consumer.poll(BUSY_POLL_S if self._backlog.running() else IDLE_POLL_S)
        if message is not None:
            self._receive(message)

    def close(self) -> None:
        """Leave; what is not answered by now is abandoned and will be done again."""
        try:
            self._write_answers()
        finally:
            self._consumer.close()

    def _reach_kafka(self) -> bool:
        """Whether the transactional producer is registered."""
        if not self._started:
            try:
                self._publisher.start(REACH_S)
            except DestinationUnavailable as error:
                log.warning("Kafka is away", extra=fields(reason=str(error)))
            else:
                self._started = True
        return self._started

    def _write_answers(self) -> None:
        while self._started:
            try:
                job, answer = self._answered.get_nowait()
            except Empty:
                return
            if job.abandoned.is_set():
                continue
            self._backlog.done(job)
            if self._written(job.received, partial(self._ledger.write, self._publisher, job, answer)):
                self._telemetry.count(
                    "scanstream_tasks_finished_total", model=job.task.model_name, outcome=answer.outcome
                )
                log.info(
                    "task answered",
                    extra=fields(
                        task_id=job.task.task_id,
                        study_instance_uid=job.task.study_instance_uid,
                        at=job.received.place,
                        outcome=answer.outcome,
                        reason=answer.error and str(answer.error),
                    ),
                )
                self._consumer.resume([TopicPartition(*job.partition)])

    def _written(self, received: Received, write: Callable[[], None]) -> bool:
        """Whether a transaction was committed; if not, its message is to be read again."""
        try:
            write()
        except DestinationUnavailable as error:
            log.warning("transaction failed", extra=fields(at=received.place, reason=str(error)))
            self._to_reread[received.partition] = received.offset
            self._publisher = self._new_publisher()
            self._started = False
            return False
        return True

    def _reread(self, partition: Partition) -> None:
        """Go back to what is committed: the transaction may have succeeded although nobody heard of it."""
        where = TopicPartition(*partition)
        try:
            (committed,) = self._consumer.committed([where], timeout=REACH_S)
            if committed.error is not None:
                raise KafkaException(committed.error)  # noqa: TRY301 - one way to fail
            where.offset = committed.offset if committed.offset >= 0 else self._to_reread[partition]
            self._consumer.resume([where])
            self._consumer.seek(where)
        except KafkaException as exception:
            log.warning("committed offset not known yet", extra=fields(reason=exception.args[0].str()))
            return
        del self._to_reread[partition]

    def _receive(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            go_on_after(error)
            return
        received = received_of(message)
        if received.partition in self._to_reread:
            return
        topic = received.partition.topic
        self._telemetry.count("scanstream_messages_consumed_total", topic=topic)
        try:
            task = self._task(received)
        except DestinationUnavailable as away:
            log.warning("task cannot be read yet", extra=fields(at=received.place, reason=str(away)))
            self._to_reread[received.partition] = received.offset
            return
        except InvalidMessage as invalid:
            self._telemetry.count("scanstream_messages_failed_total", topic=topic, error=type(invalid).__name__)
            log.warning("message is no task", extra=fields(at=received.place, reason=str(invalid)))
            self._written(received, partial(self._ledger.dead_letter, self._publisher, received, invalid))
            return
        self._consumer.pause([TopicPartition(*received.partition)])
        self._backlog.add(Job(task, received))

    def _task(self, received: Received) -> InferenceTask:
        task = self._codec.decode(received.value)
        if not isinstance(task, InferenceTask):
            raise InvalidMessage(f"a {type(task).__name__} does not belong on {received.partition.topic}")
        return task

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self.assigned = True
        log.info("partitions assigned", extra=fields(count=len(partitions)))

    @kafka_errors("give partitions back")
    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Nothing of these partitions may be committed any more: their next owner does it again."""
        lost = [Partition(entry.topic, entry.partition) for entry in partitions]
        self._backlog.drop(lost)
        for partition in lost:
            self._to_reread.pop(partition, None)
        # librdkafka keeps a partition paused when it comes back in the next assignment
        self._consumer.resume(partitions)


def received_of(message: Message) -> Received:
    """A message apart from librdkafka."""
    partition = Partition(str(message.topic()), int(message.partition() or 0))
    key, value = bytes_of(message.key()), bytes_of(message.value())
    return Received(partition, int(message.offset() or 0), key, value, headers_of(message))
