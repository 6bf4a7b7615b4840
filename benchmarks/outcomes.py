"""Committed outcomes of writers, read from the topic as they come: counted there, not believed."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from confluent_kafka import OFFSET_END, TopicPartition

from producers.kafka import consumer_config, new_consumer
from producers.messages import bytes_of
from schemas.codec import Codec
from schemas.events import DeliveryOutcome
from schemas.settings import KafkaSettings
from schemas.topics import Topic, spec_of


class Outcomes:
    """Outcomes of some destinations from now on.

    Parameters
    ----------
    settings
        Of the broker.
    destinations
        Whose.
    """

    def __init__(self, settings: KafkaSettings, *destinations: str) -> None:
        self._destinations = frozenset(destinations)
        config = consumer_config(settings, "outcomes", "outcomes", fetch_wait_ms=20)
        self._consumer = new_consumer(config)
        partitions = [
            TopicPartition(Topic.DELIVERY, number, self._end(number))
            for number in range(spec_of(Topic.DELIVERY).partitions)
        ]
        self._consumer.assign(partitions)
        self.found: list[DeliveryOutcome] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def read(self, timeout_s: float) -> None:
        """Take in what is there, waiting so long for the first."""
        message = self._consumer.poll(timeout_s)
        while message is not None:
            event = Codec().decode(bytes_of(message.value())) if message.error() is None else None
            if isinstance(event, DeliveryOutcome) and event.destination in self._destinations:
                self.found.append(event)
            message = self._consumer.poll(0)

    def wait(self, count: int, timeout_s: float = 900.0) -> None:
        """Read on until there are so many.

        Raises
        ------
        TimeoutError
            They did not come.
        """
        end = time.monotonic() + timeout_s
        while len(self.found) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(self.found)} of {count} outcomes after {timeout_s:.0f} s")
            self.read(0.05)

    def _end(self, number: int) -> int:
        end = self._consumer.get_watermark_offsets(TopicPartition(Topic.DELIVERY, number), timeout=30)[1]
        return OFFSET_END if end is None else int(end)
