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
        A client that belongs to no group; it is only ever assigned by us.
    received_of
        Message → what the writer works with.
    """

    def __init__(self, consumer: Consumer, received_of: Callable[[Message], Received]) -> None:
        self._consumer = consumer
        self._received_of = received_of

    def read(self, item: Item) -> Iterator[Received]:
        """The message of an item and what is at hand of those behind it; another one first where it is gone.

        Raises
        ------
        DestinationUnavailable
            Kafka did not answer in time, or with an error.
        """
        try:
            with kafka_errors("read a message again"):
                yield from self._read(TopicPartition(*item.place, item.offset))
        finally:
            self._consumer.unassign()

    def _read(self, start: TopicPartition) -> Iterator[Received]:
        self._consumer.assign([start])
        message = self._consumer.poll(_PATIENCE_S)
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
            message = self._consumer.poll(0)
