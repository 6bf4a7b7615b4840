"""The log → every event of one study, read from the broker itself: what the audit store must hold, row for row."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from producers.kafka import consumer_config, new_consumer
from producers.schema_registry import codec_from
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.events import Event
from schemas.settings import KafkaSettings, RegistrySettings

TIMEOUT_S: Final = 10.0


def events_of(
    study_instance_uid: str,
    topics: Sequence[str],
    since: datetime,
    settings: KafkaSettings,
    clock: Callable[[], float] = time.monotonic,
) -> list[tuple[str, Event]]:
    """Topic and event of every committed message about a study.

    Parameters
    ----------
    study_instance_uid
        The study.
    topics
        Where to look.
    since
        Older messages are passed over.
    settings
        Connection to Kafka.
    clock
        Seconds that never run backwards.

    Raises
    ------
    DestinationUnavailable
        The end of the log was not reached in time.
    """
    config = consumer_config(settings, "demo", "scanstream.demo", fetch_wait_ms=50) | {
        "enable.partition.eof": True
    }
    consumer = new_consumer(config)
    try:
        return [
            (topic, event)
            for topic, event in _read(consumer, topics, since, clock)
            if getattr(event, "study_instance_uid", None) == study_instance_uid
        ]
    except KafkaException as error:
        raise DestinationUnavailable(f"the log cannot be read ({error.args[0].str()}): see broker.log") from error
    finally:
        consumer.close()


def counts(events: Sequence[tuple[str, Event]]) -> dict[str, int]:
    """Number of events per topic."""
    return dict(sorted(Counter(topic for topic, _ in events).items()))


def _read(
    consumer: Consumer, topics: Sequence[str], since: datetime, clock: Callable[[], float]
) -> Iterator[tuple[str, Event]]:
    codec = codec_from(RegistrySettings())
    known = consumer.list_topics(timeout=TIMEOUT_S).topics
    moment = int(since.timestamp() * 1000)
    asked = [TopicPartition(topic, number, moment) for topic in topics for number in known[topic].partitions]
    start = consumer.offsets_for_times(asked, timeout=TIMEOUT_S)
    consumer.assign(start)
    open_partitions = {(place.topic, place.partition) for place in start}
    end = clock() + TIMEOUT_S
    while open_partitions:
        if clock() > end:
            raise DestinationUnavailable(f"the end of the log was not reached in {TIMEOUT_S:.0f} s: try again")
        for message in consumer.consume(500, 0.05):
            error = message.error()
            if error is None:
                try:
                    yield str(message.topic()), codec.decode(message.value())
                except InvalidMessage:
                    continue  # not ours: nothing that this system writes is undecodable
            elif error.code() == KafkaError._PARTITION_EOF:
                open_partitions.discard((str(message.topic()), int(message.partition() or 0)))
            else:
                raise KafkaException(error)
