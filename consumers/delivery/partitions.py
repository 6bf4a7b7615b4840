"""Kafka messages → received messages of the partitions that are ours now, and back the offsets to commit.

Keeps the book of each assigned partition, and pauses what must not be read on. Guarantee: a message that was
finished in an earlier life is not given out again, though its offset lies behind the committed one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Final

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from consumers.delivery.item import Place, Received
from producers.assigned_books import AssignedBooks
from producers.kafka_errors import kafka_errors
from producers.membership import Membership
from producers.messages import bytes_of, headers_of
from producers.poll_errors import go_on_after
from schemas.logs import fields

log = logging.getLogger(__name__)

_END_TIMEOUT_S: Final = 2.0

#: Share of what may be read ahead below which reading goes on.
_RESUME_SHARE: Final = 0.9


class Partitions:
    """Assigned partitions of one consumer.

    Parameters
    ----------
    consumer
        Reports the end of partitions (``enable.partition.eof``).
    retry
        The group's retry topic.
    read_ahead
        Messages that may be unfinished, over all partitions.
    on_change
        Called after partitions came or went: whatever was read before is void.
    stop
        Ends the waiting for committed offsets.
    """

    def __init__(
        self, consumer: Consumer, retry: str, read_ahead: int, on_change: Callable[[], None], stop: threading.Event
    ) -> None:
        self._consumer = consumer
        self._membership = Membership(consumer)
        self._books = AssignedBooks(consumer, stop)
        self._retry = retry
        self._read_ahead = read_ahead
        self._on_change = on_change
        self._read_to: dict[Place, int] = {}
        self._youngest_ms: dict[Place, int] = {}
        self._retries_unread: set[Place] = set()
        self._epoch = 0
        self.assigned = False

    def subscribe(self, topics: Iterable[str]) -> None:
        """Join the group for these topics and its retry topic."""
        self._membership.subscribe([*topics, self._retry], came=self._came, went=self._went)

    def check(self) -> None:
        """See that the consumer is still in its group.

        Raises
        ------
        DestinationUnavailable
            It is not: begin anew.
        """
        self._membership.check()

    @property
    def catching_up(self) -> bool:
        """Whether retries of an earlier life are still being read: nothing newer may overtake them."""
        return any(len(self._books[place]) < self._read_ahead for place in self._retries_unread)

    def reads_retry_of(self, received: Received) -> bool:
        """Whether we ourselves will read the retry of a message, and so can hold its study until then.

        A retry keeps the key, and so the partition where both topics have equally many; with a single retry
        partition it is that one.
        """
        ours = {partition for topic, partition in self._books.places() if topic == self._retry}
        return received.partition in ours or ours == {0}

    def receive(self, message: Message) -> Received | None:
        """Take a polled message in; ``None`` where there is nothing to do for it.

        Raises
        ------
        PermanentRejection
            Kafka will not let this consumer go on.
        """
        partition = message.partition()
        place = (message.topic() or "", -1 if partition is None else partition)
        error = message.error()
        if error is not None:
            self._error(error, place, message.offset())
            return None
        offset = message.offset()
        if place not in self._books or offset is None:
            return None
        self._read_to[place] = max(self._read_to[place], offset + 1)
        return self.received_of(message) if self._books[place].take(offset) else None

    def received_of(self, message: Message) -> Received:
        """A message as it was read, under the present assignment."""
        place = (message.topic() or "", message.partition() or 0)
        # clocks of producers differ, but within a partition the offset decides what is older
        timestamp_ms = max(message.timestamp()[1], self._youngest_ms.get(place, 0))
        self._youngest_ms[place] = timestamp_ms
        return Received(
            topic=place[0],
            partition=place[1],
            offset=message.offset() or 0,
            key=bytes_of(message.key()),
            value=bytes_of(message.value()),
            headers=headers_of(message),
            timestamp_ms=timestamp_ms,
            is_retry=place[0] == self._retry,
            epoch=self._epoch,
        )

    def only(self, place: Place) -> int | None:
        """Offset that alone may be delivered of a partition while its book is full; ``None`` where any may."""
        return self._books.only(place)

    def has_read(self, place: Place, offset: int) -> bool:
        """Whether everything before an offset was read; also of a partition that is not ours."""
        return place not in self._read_to or self._read_to[place] >= offset

    def end_of(self, place: Place) -> int:
        """Offset after the last message of a partition now; 0 where it is not ours.

        Raises
        ------
        DestinationUnavailable
            Kafka did not say.
        """
        if place not in self._books:
            return 0
        with kafka_errors("tell the end of a partition"):
            return int(self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=_END_TIMEOUT_S)[1])

    def is_current(self, received: Received) -> bool:
        """Whether a message was read under the present assignment."""
        return received.epoch == self._epoch

    def finish(self, received: Received) -> None:
        """Note in the book that a message is finished."""
        self._books[received.place].finish(received.offset)

    def to_commit(self, places: Iterable[Place]) -> list[TopicPartition]:
        """Offsets, with what is finished beyond them, of some partitions."""
        return self._books.to_commit(places)

    def steer(self, *, hold: bool) -> None:
        """Pause every partition (``hold``) or, while enough was read ahead, those of the results and verdicts.

        Retries are read on: nothing newer may start before they are known. What is paused goes on when there is
        room for a good while, because each pause throws away what was fetched.
        """
        known = self._books.unfinished()
        enough = known >= self._read_ahead or (self._books.paused and known > self._read_ahead * _RESUME_SHARE)
        wanted = {
            place
            for place in self._books.places()
            if hold or (enough and (place[0] != self._retry or len(self._books[place]) >= self._read_ahead))
        }
        self._books.pause(wanted)

    def _came(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._epoch += 1
        committed = self._books.open(partitions)
        self._read_to = {(place.topic, place.partition): max(place.offset, 0) for place in committed}
        self._youngest_ms = {}
        self._retries_unread = {place for place in self._books.places() if place[0] == self._retry}
        self.assigned = True
        log.info("partitions assigned", extra=fields(partitions=len(partitions)))
        self._on_change()

    @kafka_errors("give partitions back")
    def _went(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._books.close(partitions)
        self._epoch += 1
        self._read_to, self._youngest_ms = {}, {}
        self._retries_unread = set()
        log.info("partitions revoked", extra=fields(partitions=len(partitions)))
        self._on_change()

    def _error(self, error: KafkaError, place: Place, offset: int | None) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            self._retries_unread.discard(place)
            if place in self._read_to and offset is not None:
                self._read_to[place] = max(self._read_to[place], offset)
        else:
            go_on_after(error)
