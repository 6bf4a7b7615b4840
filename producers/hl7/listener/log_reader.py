"""``clinical.context`` → what is known of each key: whole at the start, then as it grows.

Without a consumer group, as every listener has to know all of it. Guarantee: after :meth:`LogReader.catch_up` the
table has everything that was committed before the call.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from producers.hl7.listener.known import KnownContexts
from producers.kafka import consumer_config, new_consumer
from producers.kafka_errors import kafka_errors
from producers.messages import bytes_of
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.events import ClinicalContext
from schemas.logs import fields
from schemas.settings import KafkaSettings
from schemas.topics import Topic

log = logging.getLogger(__name__)

_ASK_S: Final = 5.0
_AT_ONCE: Final = 500
_TOPIC: Final = Topic.CONTEXT.value


class LogReader:
    """Reads for one thread.

    Parameters
    ----------
    settings
        Connection.
    codec
        Decodes values.
    client_id
        Name of the process, seen in the broker's logs.
    known
        Takes what is read.
    clock
        Monotonic time in seconds.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        codec: Codec,
        client_id: str,
        known: KnownContexts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # the group id is required by the client and never used
        self._config = consumer_config(settings, client_id, f"{client_id}.known", fetch_wait_ms=100) | {
            "enable.partition.eof": True,
            "queued.max.messages.kbytes": 16 * 1024,
        }
        self._codec = codec
        self._known = known
        self._clock = clock
        self._next: dict[int, int] = {}
        self._consumer: Consumer | None = None

    def catch_up(self, timeout_s: float) -> None:
        """Read on to the end of the log as it is now.

        Raises
        ------
        DestinationUnavailable
            Kafka did not give all of it in time.
        """
        self.close()
        with kafka_errors("read clinical.context"):
            consumer = self._consumer = new_consumer(self._config)
            found = consumer.list_topics(_TOPIC, timeout=min(_ASK_S, timeout_s)).topics[_TOPIC]
            if found.error is not None:
                raise KafkaException(found.error)
            unread = set(found.partitions)
            places = [
                TopicPartition(_TOPIC, number, self._next.get(number, OFFSET_BEGINNING)) for number in unread
            ]
            consumer.assign(places)
            deadline = self._clock() + timeout_s
            while unread:
                if self._clock() >= deadline:
                    raise DestinationUnavailable("Kafka did not give all of clinical.context in time: try again")
                for message in consumer.consume(_AT_ONCE, 0.05):
                    self._take(message, unread)

    def refresh(self, budget_s: float = 0.02) -> None:
        """Take what has come meanwhile, without waiting for more."""
        if self._consumer is None:
            return
        until = self._clock() + budget_s
        with kafka_errors("read clinical.context"):
            while messages := self._consumer.consume(_AT_ONCE, 0):
                for message in messages:
                    self._take(message, set())
                if self._clock() >= until:
                    return

    def close(self) -> None:
        """Read no more."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _take(self, message: Message, unread: set[int]) -> None:
        error, partition = message.error(), message.partition() or 0
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                unread.discard(partition)
            elif error.fatal():
                raise KafkaException(error)
            return
        self._next[partition] = (message.offset() or 0) + 1
        key, value = bytes_of(message.key()) or b"", bytes_of(message.value())
        try:
            event = None if value is None else self._codec.decode(value)
        except InvalidMessage:
            log.warning(
                "a context cannot be decoded and is passed over",
                extra=fields(partition=partition, offset=message.offset()),
            )
            return
        if event is None or isinstance(event, ClinicalContext):
            self._known.read(key.decode("utf-8", "replace"), event)
