"""Topics → how many messages the broker keeps of each: last offset minus first, summed over partitions.

Counts the markers of transactions and, in a compacted topic, what compaction has removed: an upper bound.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from producers.kafka import consumer_config, new_consumer
from schemas.errors import DestinationUnavailable
from schemas.settings import KafkaSettings

TIMEOUT_S: Final = 10.0
RETRY_INTERVAL_S: Final = 0.1

#: A topic that was just created has no leader for a moment.
_SETTLING: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,
    }
)


def message_counts(settings: KafkaSettings, partitions: Mapping[str, int]) -> dict[str, int]:
    """Messages kept of each topic.

    Parameters
    ----------
    settings
        Connection.
    partitions
        Number of partitions of each topic.

    Raises
    ------
    DestinationUnavailable
        The broker did not answer.
    """
    consumer = new_consumer(consumer_config(settings, "terminal", "scanstream.terminal", fetch_wait_ms=50))
    counts = {}
    try:
        for topic, number in partitions.items():
            kept = 0
            for partition in range(number):
                kept += _kept(consumer, TopicPartition(topic, partition))
            counts[topic] = kept
    except KafkaException as error:
        raise DestinationUnavailable(
            f"Kafka did not say how many messages it keeps ({error.args[0].str()}): check that the broker is up"
        ) from error
    finally:
        consumer.close()
    return counts


def _kept(consumer: Consumer, partition: TopicPartition) -> int:
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            first, end = consumer.get_watermark_offsets(partition, timeout=TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() not in _SETTLING or time.monotonic() > deadline:
                raise
            time.sleep(RETRY_INTERVAL_S)
        else:
            return int(end - first)
