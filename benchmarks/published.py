"""How many instances of a gateway are on Kafka: counted on the topic, not believed."""

from __future__ import annotations

import time
from typing import Final

from confluent_kafka import TopicPartition

from producers.kafka import consumer_config, new_consumer
from schemas import registry
from schemas.settings import KafkaSettings
from schemas.topics import Topic, spec_of

_STORED: Final = f"{registry.NAMESPACE}.InstanceStored".encode()


class Published:
    """Counts committed messages of ``imaging.instances`` as they come."""

    def __init__(self, bootstrap: str) -> None:
        settings = KafkaSettings(bootstrap_servers=bootstrap)
        self._consumer = new_consumer(consumer_config(settings, "count", "count"))
        topic = Topic.INSTANCES.value
        self._consumer.assign(
            [TopicPartition(topic, number, 0) for number in range(spec_of(Topic.INSTANCES).partitions)]
        )
        self.count = 0

    def wait(self, count: int, timeout_s: float = 120.0) -> float:
        """Read on until there are so many; returns the seconds that it took.

        Raises
        ------
        TimeoutError
            They did not come.
        """
        started = time.monotonic()
        while self.count < count:
            if time.monotonic() - started > timeout_s:
                raise TimeoutError(f"{self.count} of {count} instances are on Kafka after {timeout_s:.0f} s")
            for message in self._consumer.consume(1000, timeout=0.2):
                headers = dict(message.headers() or [])
                self.count += headers.get("ce_type") == _STORED
        return time.monotonic() - started

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()
