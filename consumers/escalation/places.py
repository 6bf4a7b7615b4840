"""Assigned partitions → positions to commit and alarms restored; the rebalance callbacks of the alarm writer.

Results, answers and verdicts have the same number of partitions and the same key, so one process has all that is
said about a study (range assignment). Guarantee: alarms are restored after the committed offsets are certain, so
whatever a former owner committed is in the book, and each of its steps is known before its input is read again.

A broker that is away takes the partitions from us after ten seconds. Nobody else can have them then, so alarms
stay in the book and go on; should somebody else have them after all, a notice is sent twice under one identity.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from consumers.escalation.book import Book
from producers.changelog import read_partitions
from producers.committed import committed_offsets
from producers.kafka_errors import kafka_errors
from producers.membership import Membership
from schemas.codec import Codec
from schemas.errors import ConfigurationError, InvalidMessage
from schemas.events import EscalationStep
from schemas.logs import fields
from schemas.settings import KafkaSettings
from schemas.topics import Topic

log = logging.getLogger(__name__)

INPUTS: Final = (Topic.RESULTS, Topic.ACKNOWLEDGEMENTS, Topic.REVIEW)
_METADATA_TIMEOUT_S: Final = 10.0

Place = tuple[str, int]


class Places:
    """Partitions of one consumer.

    Parameters
    ----------
    consumer
        Member of the group, not yet subscribed.
    kafka, client_id
        For reading the changelog.
    codec
        Framing and Avro of the changelog.
    book
        Filled at assignment, emptied when partitions are given back.
    on_restored
        Called with the book as it is committed.
    stop
        Ends the waiting for offsets.
    """

    def __init__(
        self,
        consumer: Consumer,
        kafka: KafkaSettings,
        client_id: str,
        codec: Codec,
        book: Book,
        on_restored: Callable[[Book], None],
        stop: threading.Event,
    ) -> None:
        self._consumer = consumer
        self._kafka = kafka
        self._client_id = client_id
        self._codec = codec
        self._book = book
        self._on_restored = on_restored
        self._stop = stop
        self._membership = Membership(consumer)
        self._next: dict[Place, int] = {}
        self._committed: dict[Place, int] = {}
        self.owned = False

    def subscribe(self) -> None:
        """Join the group.

        Raises
        ------
        ConfigurationError
            The topics have different numbers of partitions, so a study would be torn apart.
        """
        with kafka_errors("list the topics"):
            topics = self._consumer.list_topics(timeout=_METADATA_TIMEOUT_S).topics
        counts = {
            name.value: len(topics[name].partitions) if name in topics else 0
            for name in (*INPUTS, Topic.ESCALATIONS)
        }
        if len(set(counts.values())) != 1 or 0 in counts.values():
            told = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise ConfigurationError(
                f"topics of alarms need the same number of partitions, but have {told}: create them, or "
                "give all the same number (kafka-topics --alter)"
            )
        self._membership.subscribe(
            [topic.value for topic in INPUTS], came=self._came, went=self._went, lost=self._lost
        )

    def check(self) -> None:
        """See that the consumer is still in its group.

        Raises
        ------
        DestinationUnavailable
            It is not: begin anew.
        """
        self._membership.check()

    def take(self, place: TopicPartition) -> bool:
        """Note that a message is read; ``False`` where its partition is no longer ours."""
        key = (place.topic, place.partition)
        if key not in self._committed:
            return False
        self._next[key] = place.offset + 1
        return True

    def untake(self, message: Message) -> None:
        """The message was not dealt with after all."""
        self._next[str(message.topic()), int(message.partition() or 0)] = int(message.offset() or 0)

    def to_commit(self) -> list[TopicPartition]:
        """Positions that are not committed yet."""
        return [
            TopicPartition(topic, number, offset)
            for (topic, number), offset in sorted(self._next.items())
            if self._committed.get((topic, number)) != offset
        ]

    def committed(self, positions: list[TopicPartition]) -> None:
        """Positions that are committed now."""
        for position in positions:
            self._committed[position.topic, position.partition] = position.offset

    @kafka_errors("take partitions")
    def _came(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        places = committed_offsets(consumer, partitions, self._stop)
        restored = self._restored({place.partition for place in places})
        self._book.forget()
        for number, steps in restored.items():
            self._book.restore(number, steps)
        self._on_restored(self._book)
        consumer.assign(
            [
                TopicPartition(item.topic, item.partition, item.offset if item.offset >= 0 else OFFSET_BEGINNING)
                for item in places
            ]
        )
        self._next = {}
        self._committed = {(item.topic, item.partition): item.offset for item in places}
        self.owned = True
        log.info("partitions assigned", extra=fields(partitions=len(places), open_alarms=self._book.open))

    def _restored(self, numbers: set[int]) -> dict[int, list[EscalationStep]]:
        if not numbers:
            return {}
        latest = read_partitions(self._kafka, Topic.ESCALATIONS, self._client_id, numbers, stop=self._stop)
        return {
            number: [step for v in values.values() if (step := self._step(v))] for number, values in latest.items()
        }

    def _step(self, value: bytes) -> EscalationStep | None:
        try:
            event = self._codec.decode(value)
        except InvalidMessage as error:
            log.error("an alarm cannot be read", extra=fields(topic=Topic.ESCALATIONS, reason=str(error)))  # noqa: TRY400 - the sentence says it all
            return None
        return event if isinstance(event, EscalationStep) else None

    @kafka_errors("give partitions back")
    def _went(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:  # noqa: ARG002 - of the client
        self._give_up()
        self._book.forget()
        log.info("partitions revoked", extra=fields(partitions=len(partitions)))

    @kafka_errors("give partitions back")
    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:  # noqa: ARG002 - of the client
        self._give_up()
        log.warning("partitions lost", extra=fields(partitions=len(partitions), open_alarms=self._book.open))

    def _give_up(self) -> None:
        self._next = {}
        self._committed = {}
        self.owned = False
