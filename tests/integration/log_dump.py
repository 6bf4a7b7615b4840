"""The whole log, read back: every committed event of every topic, with its place.

What is no event is passed over: other tests put rubbish on the log that they share.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from confluent_kafka import TopicPartition

from producers.kafka import consumer_config, new_consumer
from schemas.codec import Codec
from schemas.errors import InvalidMessage
from schemas.settings import KafkaSettings
from schemas.topics import TOPICS, Topic


@dataclass(frozen=True)
class Logged:
    """One committed event and its place on the log."""

    topic: str
    partition: int
    offset: int
    event: Any


def dump(bootstrap: str, topics: list[Topic] | None = None, codec: Codec | None = None) -> list[Logged]:
    """All committed events of the topics (default: of the table) up to now."""
    settings = KafkaSettings(bootstrap_servers=bootstrap)
    consumer = new_consumer(
        {**consumer_config(settings, "dump", "dump", fetch_wait_ms=20), "enable.partition.eof": True}
    )
    codec = codec or Codec()
    found = []
    try:
        known = consumer.list_topics(timeout=10).topics
        wanted = [topic.value for topic in topics or [spec.topic for spec in TOPICS]]
        parts = [TopicPartition(name, part, -2) for name in wanted for part in known[name].partitions]
        consumer.assign(parts)
        open_parts = {(part.topic, part.partition) for part in parts}
        while open_parts:
            for message in consumer.consume(1000, timeout=0.1):
                error = message.error()
                if error is not None:
                    open_parts.discard((str(message.topic()), int(message.partition() or 0)))
                    continue
                value = message.value()
                if value is None:
                    continue
                place = (str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
                with suppress(InvalidMessage):
                    found.append(Logged(*place, codec.decode(bytes(value))))
    finally:
        consumer.close()
    return found
