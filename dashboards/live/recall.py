"""Place in the log → the event that lies there, read again when somebody needs all of it."""

from __future__ import annotations

import time
from queue import LifoQueue
from typing import Final

from confluent_kafka import Consumer, KafkaError, TopicPartition

from dashboards.live.reviews import Place
from producers.kafka import Config, consumer_config, new_consumer
from producers.kafka_errors import kafka_errors
from producers.lost_brokers import UNWATCHED
from producers.messages import bytes_of
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.events import Event
from schemas.settings import KafkaSettings

#: A person waits for the answer.
_LONGEST_S: Final = 5.0
#: Messages that are read at the same time; each takes a connection once it is used.
_READERS: Final = 4
#: Nothing but the message that is asked for: a broker gives the batch that holds it, however large (KIP-74).
_ONLY: Final[Config] = {"fetch.message.max.bytes": 1, "auto.offset.reset": "error"}


class Recall:
    """Reads single messages again; safe to use from several threads.

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
        # the one that was used last is taken first: requests one after the other need one connection
        self._readers: LifoQueue[Consumer | None] = LifoQueue()
        for _ in range(_READERS):
            self._readers.put(None)

    def __call__(self, place: Place) -> Event:
        """Event at a place.

        Raises
        ------
        DestinationUnavailable
            Kafka did not give it in time.
        InvalidMessage
            It cannot be decoded, or Kafka no longer has it: asking again is of no use.
        """
        reader = self._readers.get()
        try:
            with kafka_errors("read a message again"):
                if reader is None:
                    reader = self._reader()
                value = self._read(reader, place)
        except DestinationUnavailable:
            _close(reader)
            reader = None
            raise
        finally:
            self._readers.put(reader)
        return self._codec.decode(value)

    def close(self) -> None:
        """Close the connections; waits for those in use."""
        for _ in range(_READERS):
            _close(self._readers.get())

    def _reader(self) -> Consumer:
        config = consumer_config(self._settings, "recall", "scanstream.recall", fetch_wait_ms=1)
        return new_consumer(config | UNWATCHED | _ONLY)

    def _read(self, reader: Consumer, place: Place) -> bytes:
        reader.assign([TopicPartition(place.topic, place.partition, place.offset)])
        try:
            return _value(reader, place)
        finally:
            reader.unassign()


def _value(reader: Consumer, place: Place) -> bytes:
    until = time.monotonic() + _LONGEST_S
    while time.monotonic() < until:
        message = reader.poll(0.1)
        if message is None:
            continue
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._AUTO_OFFSET_RESET:
                _check_kept(reader, place)
            continue
        value = message.value()
        if message.offset() != place.offset or value is None:
            break
        return bytes_of(value) or b""
    raise DestinationUnavailable(
        f"Kafka does not give {place.topic}[{place.partition}]@{place.offset}: check that the broker is up"
    )


def _check_kept(reader: Consumer, place: Place) -> None:
    first, _ = reader.get_watermark_offsets(TopicPartition(place.topic, place.partition), timeout=_LONGEST_S)
    if place.offset < first:
        raise InvalidMessage(
            f"{place.topic}[{place.partition}]@{place.offset} is past its retention: run the task again"
        )


def _close(reader: Consumer | None) -> None:
    if reader is not None:
        reader.close()
