"""Place in the log → the event that lies there, read again when somebody needs all of it."""

from __future__ import annotations

import threading
import time
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from dashboards.live.reviews import Place
from producers.kafka import consumer_config, new_consumer
from producers.kafka_errors import kafka_errors
from producers.lost_brokers import UNWATCHED
from producers.messages import bytes_of
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.events import Event
from schemas.settings import KafkaSettings

#: A person waits for the answer.
_LONGEST_S: Final = 5.0


class Recall:
    """Reads single messages again; safe to use from several threads, one after the other.

    Parameters
    ----------
    settings
        Connection to Kafka.
    codec
        Framing and Avro.
    """

    def __init__(self, settings: KafkaSettings, codec: Codec) -> None:
        self._settings = settings
        self._codec = codec
        self._lock = threading.Lock()
        self._consumer: Consumer | None = None

    def __call__(self, place: Place) -> Event:
        """Event at a place.

        Raises
        ------
        DestinationUnavailable
            Kafka did not give it in time.
        InvalidMessage
            It cannot be decoded, or Kafka no longer has it: asking again is of no use.
        """
        with self._lock:
            try:
                with kafka_errors("read a message again"):
                    return self._read(place)
            except DestinationUnavailable:
                self._close()
                raise

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _read(self, place: Place) -> Event:
        if self._consumer is None:
            config = consumer_config(self._settings, "recall", "scanstream.recall", fetch_wait_ms=1)
            self._consumer = new_consumer(config | UNWATCHED)
        self._consumer.assign([TopicPartition(place.topic, place.partition, place.offset)])
        try:
            return self._codec.decode(self._value(self._consumer, place))
        finally:
            self._consumer.unassign()

    def _value(self, consumer: Consumer, place: Place) -> bytes:
        first, _ = consumer.get_watermark_offsets(TopicPartition(place.topic, place.partition), timeout=_LONGEST_S)
        if place.offset < first:
            raise InvalidMessage(
                f"{place.topic}[{place.partition}]@{place.offset} is past its retention: run the task again"
            )
        until = time.monotonic() + _LONGEST_S
        while time.monotonic() < until:
            message = consumer.poll(0.1)
            if message is None or message.error() is not None:
                continue
            value = message.value()
            if message.offset() != place.offset or value is None:
                break
            return bytes_of(value) or b""
        raise DestinationUnavailable(
            f"Kafka does not give {place.topic}[{place.partition}]@{place.offset}: check that the broker is up"
        )
