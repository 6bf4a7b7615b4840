"""Topics → how many messages the broker keeps of each: last offset minus first, summed over partitions.

Counts the markers of transactions and, in a compacted topic, what compaction has removed: an upper bound.
"""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import KafkaException, TopicPartition

from producers.kafka import consumer_config, new_consumer
from schemas.errors import DestinationUnavailable
from schemas.settings import KafkaSettings

TIMEOUT_S = 10.0


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
    consumer = new_consumer(consumer_config(settings, "terminal", "scanstream.terminal"))
    counts = {}
    try:
        for topic, number in partitions.items():
            kept = 0
            for partition in range(number):
                first, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT_S)
                kept += end - first
            counts[topic] = kept
    except KafkaException as error:
        raise DestinationUnavailable(
            f"Kafka did not say how many messages it keeps ({error.args[0].str()}): check that the broker is up"
        ) from error
    finally:
        consumer.close()
    return counts
