"""Task topics → jobs, read far ahead, so that an urgent task is known however many others lie before it.

Everything here happens in the thread that calls :meth:`Intake.read`. A message that is no task is set aside with
its reason; one that cannot be read yet, because the schema registry is away, holds up reading and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from confluent_kafka import Consumer, Message

from producers.messages import bytes_of, headers_of
from producers.poll_errors import go_on_after
from producers.telemetry import Telemetry
from schemas import headers
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.events import InferenceTask
from schemas.logs import fields
from streams.worker.job import Job, Partition, Received
from streams.worker.partitions import Partitions

log = logging.getLogger(__name__)

#: Messages that are taken in one turn.
_BATCH: Final = 200

#: Between two tries to decode what the registry did not help with, in seconds.
_AGAIN_S: Final = 1.0


class Intake:
    """Reader of tasks.

    Parameters
    ----------
    consumer
        Of the workers' group.
    partitions
        What is ours.
    codec
        Decodes tasks.
    telemetry
        Counts.
    on_job
        Gets each task.
    on_unreadable
        Gets each message that is none, with the reason.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        consumer: Consumer,
        partitions: Partitions,
        codec: Codec,
        telemetry: Telemetry,
        on_job: Callable[[Job], None],
        on_unreadable: Callable[[Received, InvalidMessage], None],
        clock: Callable[[], float],
    ) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self._codec = codec
        self._telemetry = telemetry
        self._on_job = on_job
        self._on_unreadable = on_unreadable
        self._clock = clock
        self._later: list[Received] = []
        self._again_at = 0.0

    @property
    def waits(self) -> bool:
        """Whether messages are in hand that cannot be decoded yet."""
        return bool(self._later)

    def read(self, timeout_s: float) -> None:
        """Take in what came.

        Parameters
        ----------
        timeout_s
            How long to wait for the first message.

        Raises
        ------
        PermanentRejection
            Kafka will not let this consumer go on.
        """
        if self._later and self._clock() >= self._again_at:
            later, self._later = self._later, []
            for received in later:
                self._decode(received)
        for _ in range(_BATCH):
            message = self._consumer.poll(timeout_s)
            if message is None:
                return
            timeout_s = 0
            error = message.error()
            if error is not None:
                go_on_after(error)
                continue
            self._receive(received_of(message))

    def forget(self) -> None:
        """Partitions came or went: what could not be decoded is read again."""
        for received in self._later:
            self._partitions.gone(received)
        self._later.clear()

    def _receive(self, received: Received) -> None:
        if not self._partitions.take(received):
            return
        self._telemetry.count("scanstream_messages_consumed_total", topic=received.partition.topic)
        self._decode(received)

    def _decode(self, received: Received) -> None:
        topic = received.partition.topic
        if self._later:  # in order, and without asking a registry that is away for each of them
            self._later.append(received)
            return
        try:
            headers.require_room(received.key, received.value, received.headers)
            task = self._codec.decode(received.value)
            if not isinstance(task, InferenceTask):
                raise InvalidMessage(f"a {type(task).__name__} does not belong on {topic}")  # noqa: TRY301 - one way to fail
        except DestinationUnavailable as away:
            log.warning("tasks cannot be read yet", extra=fields(at=received.place, reason=str(away)))
            self._later.append(received)
            self._again_at = self._clock() + _AGAIN_S
        except InvalidMessage as invalid:
            self._telemetry.count("scanstream_messages_failed_total", topic=topic, error=type(invalid).__name__)
            log.warning("message is no task", extra=fields(at=received.place, reason=str(invalid)))
            self._on_unreadable(received, invalid)
        else:
            self._on_job(Job(task, received))


def received_of(message: Message) -> Received:
    """A message apart from librdkafka."""
    partition = Partition(str(message.topic()), int(message.partition() or 0))
    key, value = bytes_of(message.key()), bytes_of(message.value())
    return Received(partition, int(message.offset() or 0), key, value, headers_of(message))
