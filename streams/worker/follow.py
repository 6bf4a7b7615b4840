"""Topics that every worker reads as a whole → what listens to them, in a thread and without a consumer group.

Guarantee: after :attr:`Follower.caught_up` everything that was committed before the start was heard; while Kafka
is away nothing new is, and after an error each topic is heard again from where it begins: listeners know what they
heard before.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from producers.kafka import consumer_config, new_consumer
from producers.messages import bytes_of
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.events import Event
from schemas.logs import fields
from schemas.settings import KafkaSettings
from schemas.topics import Topic

log = logging.getLogger(__name__)

_POLL_S: Final = 0.5
_AGAIN_S: Final = 2.0
_ASK_S: Final = 5.0
#: How long the thread may take to end; one that waits for Kafka is left behind.
_CLOSE_S: Final = 2.0


#: Gets key and event, ``None`` for a tombstone, in the follower's thread.
Hear = Callable[[str, Event | None], None]


class Follower:
    """Thread that reads topics to their end and on.

    Parameters
    ----------
    settings
        Connection.
    codec
        Decodes values.
    client_id
        Name of the process, seen in the broker's logs.
    listeners
        By topic.
    """

    def __init__(
        self, settings: KafkaSettings, codec: Codec, client_id: str, listeners: Mapping[Topic, Hear]
    ) -> None:
        self._settings = settings
        self._codec = codec
        self._client_id = client_id
        self._listeners = listeners
        self._stop = threading.Event()
        self._caught_up = threading.Event()
        self._away = False
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    @property
    def caught_up(self) -> bool:
        """Whether all topics were read to their end once."""
        return self._caught_up.is_set()

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self) -> None:
        """Read no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except KafkaException as error:
                self._missed(error.args[0].str())
            except DestinationUnavailable as error:
                self._missed(str(error))
            except Exception:
                log.exception("topics of the workers could not be followed")
            self._stop.wait(_AGAIN_S)

    def _follow(self) -> None:
        # the group id is required by the client and never used: nothing is subscribed or committed
        config = consumer_config(self._settings, self._client_id, f"{self._client_id}.follower", fetch_wait_ms=100)
        consumer = new_consumer(config | {"enable.partition.eof": True})
        try:
            unread = self._assign(consumer)
            while not self._stop.is_set():
                message = consumer.poll(_POLL_S)
                if message is None:
                    continue
                error = message.error()
                if error is not None:
                    if error.code() != KafkaError._PARTITION_EOF:
                        self._missed(error.str())
                        continue
                    unread.discard((Topic(message.topic() or ""), int(message.partition() or 0)))
                    if not unread:
                        self._caught_up.set()
                else:
                    self._hear(Topic(message.topic() or ""), bytes_of(message.key()), bytes_of(message.value()))
                self._away = False
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer) -> set[tuple[Topic, int]]:
        """Take every partition from its beginning; returns them."""
        wanted = []
        for topic in self._listeners:
            metadata = consumer.list_topics(topic.value, timeout=_ASK_S).topics[topic.value]
            if metadata.error is not None:
                raise KafkaException(metadata.error)
            wanted += [TopicPartition(topic.value, number, OFFSET_BEGINNING) for number in metadata.partitions]
        consumer.assign(wanted)
        return {(Topic(place.topic), place.partition) for place in wanted}

    def _hear(self, topic: Topic, key: bytes | None, value: bytes | None) -> None:
        try:
            event = None if value is None else self._codec.decode(value)
        except InvalidMessage as error:
            log.warning("message passed over", extra=fields(topic=topic, reason=str(error)))
            return
        self._listeners[topic]((key or b"").decode("utf-8", "replace"), event)

    def _missed(self, reason: str) -> None:
        if not self._away:
            self._away = True
            log.warning("commands and nodes are not heard now", extra=fields(reason=reason))
