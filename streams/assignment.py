"""Partitions that the group gave to this process → state machines restored to the committed offsets.

Guarantee: the changelog is read after the committed offsets are stable, and to its high watermark; whatever the
former owner committed is therefore in the restored state, also when its last transaction ends only during the
hand-over.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from producers.changelog import Latest, read_partitions
from producers.committed import committed_offsets
from schemas.errors import ConfigurationError
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from streams.clock import Instant
from streams.partition import PartitionLogic, Source

METADATA_TIMEOUT_S: Final = 5.0

#: With more unread messages than this, silence of a study means nothing: its images may be among them.
BEHIND_MESSAGES: Final = 200


class Assigned:
    """One partition in the hands of this process.

    Attributes
    ----------
    position
        Offset of the next message to accept.
    committed
        Offset that a successor starts from.
    at_end
        Whether everything that is readable has been read.
    paused
        Whether fetching is paused because the logic is blocked.
    """

    def __init__(self, source: Source, number: int, logic: PartitionLogic, position: int) -> None:
        self.source = source
        self.number = number
        self.logic = logic
        self.position = position
        self.committed = position
        self.at_end = False
        self.paused = False

    @property
    def place(self) -> TopicPartition:
        """Topic and partition."""
        return TopicPartition(self.source.topic, self.number)

    def behind(self, consumer: Consumer) -> bool:
        """Whether many messages are still unread, as the last fetch told."""
        if self.at_end or self.paused:
            return False
        end = int(consumer.get_watermark_offsets(self.place, cached=True)[1])
        return end < 0 or end - self.position > BEHIND_MESSAGES

    def offset_to_commit(self) -> TopicPartition | None:
        """Offset that is not committed yet, if there is one."""
        offset = self.logic.committable(self.position)
        return None if offset == self.committed else TopicPartition(self.source.topic, self.number, offset)


def restore(
    consumer: Consumer,
    partitions: Sequence[TopicPartition],
    sources: dict[str, Source],
    settings: KafkaSettings,
    client_id: str,
    stop: threading.Event,
    at: Instant,
) -> list[Assigned]:
    """State machines of newly assigned partitions, each at its committed offset.

    Raises
    ------
    DestinationUnavailable
        Offsets or changelog could not be read.
    """
    committed = committed_offsets(consumer, partitions, stop)
    wanted: dict[Topic, set[int]] = {}
    for place in committed:
        changelog = sources[place.topic].changelog
        if changelog is not None:
            wanted.setdefault(changelog, set()).add(place.partition)
    latest: dict[Topic, dict[int, Latest]] = {
        changelog: read_partitions(settings, changelog, client_id, numbers, stop=stop)
        for changelog, numbers in wanted.items()
    }
    assigned = []
    for place in committed:
        source = sources[place.topic]
        known = {} if source.changelog is None else latest[source.changelog][place.partition]
        position = place.offset if place.offset >= 0 else OFFSET_BEGINNING
        assigned.append(Assigned(source, place.partition, source.logic(known, at), position))
    return assigned


def require_equal_partitions(consumer: Consumer, sources: Sequence[Source]) -> None:
    """Raise when a changelog cannot lie beside its input.

    Raises
    ------
    ConfigurationError
        Names both topics and their numbers of partitions.
    """
    topics = consumer.list_topics(timeout=METADATA_TIMEOUT_S).topics
    for source in sources:
        if source.changelog is None:
            continue
        counts = [
            len(topics[name].partitions) if name in topics else 0 for name in (source.topic, source.changelog)
        ]
        if counts[0] != counts[1]:
            raise ConfigurationError(
                f"{source.changelog} has {counts[1]} partitions and {source.topic} has {counts[0]}: give both the "
                "same number (kafka-topics --alter) before the streams process starts"
            )
