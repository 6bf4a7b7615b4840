"""Kafka → the studies that some consumer group has not passed yet, or why that cannot be said.

Committed offsets are read first and the ends of the topics after them: a message that moves on meanwhile is then
found at both places, never at neither, because every step of the pipeline writes its output and its offset
together. Reading is bounded in bytes and time; what was not read completely is reported as unknown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, TypeVar

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from producers.kafka import consumer_config, new_consumer
from producers.retention import Unread
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, ScanstreamError
from schemas.settings import KafkaSettings
from schemas.topics import TOPICS, failure_topics, retry_topic

#: Topic and partition.
Place = tuple[str, int]
#: Consumer group → place → next offset that it will read.
Committed = Mapping[str, Mapping[Place, int]]

MAX_BYTES: Final = 512 * 1024 * 1024
MAX_SECONDS: Final = 120.0

_REQUEST_S: Final = 15.0
_BY_STUDY: Final = frozenset(spec.topic.value for spec in TOPICS if spec.key == "study_instance_uid")
#: What is waited for on these is passed by their group; dead letters are not waited for by anybody.
OUR_TOPICS: Final = frozenset(
    [spec.topic.value for spec in TOPICS] + [retry_topic(topic.consumer_group) for topic in failure_topics()]
)

T = TypeVar("T")


def starts(committed: Committed, partitions: Mapping[str, int]) -> dict[Place, int]:
    """Where reading must begin, so that it covers what any group has before it. Pure.

    A group that committed anything of a topic reads all of it; a partition without a position was never read.

    Parameters
    ----------
    committed
        Positions of the groups.
    partitions
        Topic → number of partitions.
    """
    first: dict[Place, int] = {}
    for offsets in committed.values():
        for topic in {topic for topic, _ in offsets} & partitions.keys() & OUR_TOPICS:
            for partition in range(partitions[topic]):
                place = (topic, partition)
                offset = offsets.get(place, 0)
                first[place] = min(first.get(place, offset), offset)
    return first


def read_unread(
    settings: KafkaSettings,
    expected_groups: Collection[str],
    codec: Codec,
    client_id: str,
    *,
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Unread:
    """Studies of all messages between the positions of the consumer groups and the ends of our topics.

    Parameters
    ----------
    settings
        Connection.
    expected_groups
        Groups that must have a position, or nothing is known.
    codec
        Reads messages whose key is not the study.
    client_id
        Name of the process.
    max_bytes, max_seconds
        Bounds of one reading.
    clock
        Monotonic seconds.

    Raises
    ------
    DestinationUnavailable
        Kafka did not answer.
    """
    admin = AdminClient(dict(settings.librdkafka() | {"client.id": client_id}))
    config = consumer_config(settings, client_id, f"{client_id}.retention", fetch_wait_ms=50)
    consumer = new_consumer(config | {"enable.partition.eof": True})
    try:
        topics = admin.list_topics(timeout=_REQUEST_S).topics
        partitions = {name: len(topics[name].partitions) for name in OUR_TOPICS & topics.keys()}
        listed = admin.list_consumer_groups(request_timeout=_REQUEST_S).result(_REQUEST_S)
        if listed.errors:
            return Unread(unknown="not every broker told its consumer groups")
        groups = {item.group_id for item in listed.valid} | set(expected_groups)
        committed = {group: _committed(settings, group, client_id, partitions) for group in groups}
        missing = sorted(group for group in expected_groups if not committed[group])
        if missing:
            return Unread(unknown=f"consumer groups without a position: {', '.join(missing)}")
        reading = _Reading(consumer, codec, max_bytes, clock() + max_seconds, clock)
        return reading.read(starts(committed, partitions))
    except KafkaException as error:
        raise DestinationUnavailable(f"the backlog could not be read: {error.args[0].str()}") from error
    finally:
        consumer.close()


def _committed(
    settings: KafkaSettings, group: str, client_id: str, partitions: Mapping[str, int]
) -> dict[Place, int]:
    """Positions of one group in our topics, asked for without joining it.

    Not by the admin client: librdkafka 2.x ends the process (a null pointer) when the answer to its
    ListConsumerGroupOffsets is that the coordinator is loading or has moved; a consumer asks again.
    """
    places = [TopicPartition(topic, number) for topic, count in partitions.items() for number in range(count)]
    consumer = new_consumer(consumer_config(settings, client_id, group))
    try:
        answer = consumer.committed(places, timeout=_REQUEST_S)
    finally:
        consumer.close()
    for place in answer:
        if place.error is not None:
            raise KafkaException(place.error)
    return {(place.topic, place.partition): place.offset for place in answer if place.offset >= 0}


class _Reading:
    """One bounded reading of committed messages."""

    def __init__(
        self, consumer: Consumer, codec: Codec, max_bytes: int, deadline: float, clock: Callable[[], float]
    ) -> None:
        self._consumer = consumer
        self._codec = codec
        self._left = max_bytes
        self._deadline = deadline
        self._clock = clock
        self._studies: set[str] = set()

    def read(self, first: Mapping[Place, int]) -> Unread:
        """Everything from these places to the ends."""
        open_places = set(self._assigned(first))
        while open_places:
            if self._left <= 0 or self._clock() > self._deadline:
                return Unread(unknown="the backlog of the consumer groups is too long to be read")
            for message in self._consumer.consume(500, timeout=0.5):
                error = message.error()
                if error is None:
                    if not self._take(message):
                        return Unread(unknown=f"a waiting message of {message.topic()} cannot be read")
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_places.discard((str(message.topic()), int(message.partition() or 0)))
                else:
                    raise KafkaException(error)
        return Unread(frozenset(self._studies))

    def _assigned(self, first: Mapping[Place, int]) -> Iterable[Place]:
        """Places with something to read; the consumer is put there."""
        places: list[TopicPartition] = []
        for (topic, partition), offset in sorted(first.items()):
            low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_REQUEST_S)
            # Also when retention of the topic has overtaken a group: what is gone holds nothing.
            if max(offset, low) < high:
                places.append(TopicPartition(topic, partition, max(offset, low)))
        self._consumer.assign(places)
        return [(place.topic, place.partition) for place in places]

    def _take(self, message: Message) -> bool:
        """Keep the study of a message; ``False`` when it cannot be told."""
        key, value, topic = message.key(), message.value(), str(message.topic())
        self._left -= len(value or b"") + len(key or b"")
        if topic in _BY_STUDY and key is not None:
            self._studies.add(bytes(key).decode("utf-8", "replace"))
            return True
        if value is None:
            return True
        try:
            study = getattr(self._codec.decode(bytes(value)), "study_instance_uid", None)
        except ScanstreamError:
            return False
        if study is not None:
            self._studies.add(str(study))
        return True
