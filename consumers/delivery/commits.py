"""Settlements → Kafka: outcome, retry or dead letter, and the offset, visible together or not at all.

What Kafka could not take stays here and is written with the next, so nothing is lost while the broker is away.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from confluent_kafka import Consumer

from consumers.delivery.partitions import Partitions
from consumers.delivery.settle import Settlement
from producers.kafka import EventPublisher
from producers.telemetry import Telemetry
from schemas.errors import DestinationUnavailable
from schemas.events import DeliveryStatus
from schemas.headers import header, letter
from schemas.logs import fields
from schemas.metrics import MetricName
from schemas.topics import Topic

log = logging.getLogger(__name__)

_KAFKA_RETRY_S: Final = 0.5
#: Between two transactions: each costs the loop some milliseconds, whether it holds one outcome or fifty.
_LINGER_S: Final = 0.02


class Commits:
    """Settlements of one writer that are not committed yet.

    Parameters
    ----------
    partitions
        Book of the offsets.
    consumer
        Whose offsets are committed.
    publisher
        Transactional.
    telemetry
        Told of every committed outcome.
    destination
        Name of the destination, for metrics and logs.
    clock
        Monotonic time in seconds.
    """

    def __init__(
        self,
        partitions: Partitions,
        consumer: Consumer,
        publisher: EventPublisher,
        telemetry: Telemetry,
        destination: str,
        clock: Callable[[], float],
    ) -> None:
        self._partitions = partitions
        self._consumer = consumer
        self._publisher = publisher
        self._telemetry = telemetry
        self._destination = destination
        self._clock = clock
        self._waiting: list[Settlement] = []
        self._not_before = 0.0

    @property
    def waiting(self) -> bool:
        """Whether something is not committed yet."""
        return bool(self._waiting)

    def add(self, settlement: Settlement) -> None:
        """Take what became of a message."""
        self._waiting.append(settlement)

    def forget(self) -> None:
        """Partitions came or went: whoever owns them now reads and settles these messages again."""
        self._waiting = []

    def write(self, *, at_once: bool = False) -> None:
        """Commit everything that waits in one transaction, a little after the one before.

        Parameters
        ----------
        at_once
            Do not wait for company: nothing more is to come.

        Raises
        ------
        PermanentRejection
            Another process took this one's place.
        """
        if not self._waiting or (self._clock() < self._not_before and not at_once):
            return
        for settlement in self._waiting:
            self._partitions.finish(settlement.received)
        try:
            self._transact()
        except DestinationUnavailable as error:
            self._not_before = self._clock() + _KAFKA_RETRY_S
            log.warning("outcomes not committed yet", extra=fields(reason=str(error)))
            return
        for settlement in self._waiting:
            self._observe(settlement)
        self._waiting = []
        self._not_before = self._clock() + _LINGER_S

    def _transact(self) -> None:
        with self._publisher.transaction() as transaction:
            for settlement in self._waiting:
                received, outcome, forward = settlement.received, settlement.outcome, settlement.forward
                if outcome is not None:
                    trace = header(received.headers, "traceparent")
                    transaction.publish(Topic.DELIVERY, outcome.task_id, outcome, trace)
                if forward is not None:
                    parts = received.key, received.value, forward.headers
                    transaction.publish_raw(forward.topic, *(parts if forward.is_retry else letter(*parts)))
            places = {settlement.received.place for settlement in self._waiting}
            transaction.consumed(self._partitions.to_commit(places), self._consumer)

    def _observe(self, settlement: Settlement) -> None:
        outcome = settlement.outcome
        if settlement.forward is not None:
            name: MetricName = (
                "scanstream_delivery_retries_total"
                if settlement.forward.is_retry
                else "scanstream_delivery_dead_letters_total"
            )
            self._telemetry.count(name, destination=self._destination)
        if outcome is None:
            return
        status = outcome.status.value
        self._telemetry.count("scanstream_deliveries_total", destination=self._destination, status=status)
        if outcome.status in (DeliveryStatus.STORED, DeliveryStatus.PARTIAL):
            self._telemetry.observe(
                "scanstream_delivery_seconds",
                outcome.latency_ms / 1000,
                destination=self._destination,
                priority=outcome.priority.value,
            )
        log.info(
            "delivery ended",
            extra=fields(
                destination=self._destination,
                status=status,
                study_instance_uid=outcome.study_instance_uid,
                latency_ms=round(outcome.latency_ms),
                source=settlement.received.where,
            ),
        )
