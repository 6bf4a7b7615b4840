"""Statistics of a consumer of librdkafka → the word that it knows no broker any more, and never will.

A Kafka of one node that is told to stop answers for some milliseconds that the cluster has no broker at all, and
librdkafka then forgets all that it knows (its issue 5301, seen with 2.16 and Apache Kafka 4.3): the client lives
on, connects to nobody and reports nothing. Guarantee: whoever polls such a consumer is told within two statistics;
a consumer whose brokers are only away knows them still, and waits as ever.

Statistics that nobody fetches by polling pile up. So a consumer that rests for hours is :data:`UNWATCHED`, and
begun anew when it gives nothing, as are clients for questions. Of producers see :mod:`producers.unheard`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import Consumer, Message

from schemas.errors import DestinationUnavailable

#: Time between two statistics, in milliseconds.
INTERVAL_MS: Final = 5_000

#: Configuration of a consumer that is not polled all the time.
UNWATCHED: Final[dict[str, str | int | float | bool]] = {"statistics.interval.ms": 0}

#: Statistics in a row without a broker: between two lists of brokers a client may know none for a moment.
_IN_A_ROW: Final = 2

#: Kinds of brokers that may be asked for others: of ``bootstrap.servers``, and of what a broker told.
_REAL: Final = frozenset({"configured", "learned"})


class Brokers:
    """Whether a client knows any broker (``stats_cb``; librdkafka, STATISTICS.md)."""

    def __init__(self) -> None:
        self._alone = 0

    def __call__(self, statistics: str) -> None:
        """Take the next statistics."""
        brokers = json.loads(statistics).get("brokers", {})
        known = any(broker.get("source") in _REAL for broker in brokers.values())
        self._alone = 0 if known else self._alone + 1

    @property
    def lost(self) -> bool:
        """Whether there was none for so long that there will be none."""
        return self._alone >= _IN_A_ROW


class WatchedConsumer(Consumer):
    """A consumer that tells whoever polls it that it has lost its brokers for good.

    Parameters
    ----------
    config
        Of librdkafka.
    logger
        For what librdkafka reports.
    """

    def __init__(self, config: Mapping[str, Any], logger: logging.Logger) -> None:
        self._brokers = Brokers()
        watch = {"statistics.interval.ms": INTERVAL_MS, "stats_cb": self._brokers}
        super().__init__({**watch, **config}, logger=logger)

    def poll(self, timeout: float = -1) -> Message | None:
        """Next message or error, after ``timeout`` seconds at the latest.

        Raises
        ------
        DestinationUnavailable
            No broker is known: begin anew with another consumer.
        """
        message = super().poll(timeout)
        if message is None:
            self._require_brokers()
        return message

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        """Next messages and errors, after ``timeout`` seconds at the latest.

        Raises
        ------
        DestinationUnavailable
            No broker is known: begin anew with another consumer.
        """
        messages = super().consume(num_messages, timeout)
        if not messages:
            self._require_brokers()
        return messages

    def _require_brokers(self) -> None:
        if self._brokers.lost:
            raise DestinationUnavailable(
                "Kafka named no broker as it stopped and this client knows none: begin anew"
            )
