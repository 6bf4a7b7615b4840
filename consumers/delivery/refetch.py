"""Place of a message → the message again, and those that follow it, without the consumer group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from consumers.delivery.item import Item, Received
from producers.kafka_errors import kafka_errors
from schemas.errors import DestinationUnavailable

#: Messages that one reading brings, at most.
BATCH: Final = 200

_PATIENCE_S: Final = 2.0


class Refetch:
    """Reads messages a second time.

    Parameters
    ----------
    consumer
        Makes a client that belongs to no group; called again after one that gave nothing.
    received_of
        Message → what the writer works with.
    """

    def __init__(self, consumer: Callable[[], Consumer], received_of: Callable[[Message], Received]) -> None:
        self._new_consumer = consumer
        self._consumer: Consumer | None = None
        self._received_of = received_of

    def read(self, item: Item) -> Iterator[Received]:
        """The message of an item and what is at hand of those behind it; another one first where it is gone.

        Raises
        ------
        DestinationUnavailable
            Kafka did not answer in time, or with an error.
        """
        if self._consumer is None:
            self._consumer = self._new_consumer()
        try:
            with kafka_errors("read a message again"):
                yield from self._read(self._consumer, TopicPartition(*item.place, item.offset))
        except DestinationUnavailable:
            self.close()
            raise
        finally:
            if self._consumer is not None:
                self._consumer.unassign()

    def close(self) -> None:
        """Read no more."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _read(self, consumer: Consumer, start: TopicPartition) -> Iterator[Received]:
        consumer.assign([start])
        message = consumer.poll(_PATIENCE_S)
        if message is None:
            raise DestinationUnavailable("Kafka did not give a message again in time: check the broker")
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            # only the end of its partition shows that a message is gone; anything else may pass
            raise DestinationUnavailable(f"Kafka did not give a message again ({error.str()}): check the broker")
        for _ in range(BATCH):
            if message is None or message.error() is not None:
                return
            yield self._received_of(message)
            message = consumer.poll(0)
