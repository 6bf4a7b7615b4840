"""Results on Kafka → a destination → outcomes on Kafka: the loop of every writer.

One thread polls, decides and commits; a small crew of threads delivers. Polling goes on whatever the destination
does, so the writer is never evicted from its group. Outcome (or retry, or dead letter) and offset are one
transaction.
"""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from confluent_kafka import Consumer

from consumers.delivery.backlog import Backlog
from consumers.delivery.brake import Brake, BrakeApplied
from consumers.delivery.circuit import Circuit, State
from consumers.delivery.commits import Commits
from consumers.delivery.crew import Crew, Delivered, End, Failed, Probed
from consumers.delivery.item import Item, Received, result_of
from consumers.delivery.limits import Limits
from consumers.delivery.partitions import Partitions
from consumers.delivery.policy import DeadLetter, Retry, Wait, WaitForSource, after_failure
from consumers.delivery.settle import Clerk, Settlement
from consumers.delivery.sources import Sources
from consumers.destination import Destination
from producers.kafka import EventPublisher
from producers.process import Process
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.events import ResultOutcome
from schemas.headers import header
from schemas.logs import fields
from schemas.topics import Topic, dlq_topic, retry_topic

log = logging.getLogger(__name__)

_IDLE_POLL_S: Final = 0.1
_BUSY_POLL_S: Final = 0.003
_BATCH: Final = 200


class Runtime:
    """The loop of one writer.

    Parameters
    ----------
    consumer
        Member of ``group``, with ``enable.partition.eof``.
    publisher
        Transactional.
    now, clock, chance
        Wall clock, monotonic clock and random numbers in [0, 1).
    """

    def __init__(
        self,
        process: Process,
        group: str,
        destination: Destination,
        consumer: Consumer,
        publisher: EventPublisher,
        codec: Codec,
        limits: Limits,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._process = process
        self._telemetry = process.telemetry
        self._group = group
        self._name = destination.name
        self._consumer = consumer
        self._codec = codec
        self._limits = limits
        self._now = now
        self._clock = clock
        self._crew = Crew(destination, limits.concurrency)
        self._clerk = Clerk(group, self._name)
        self._circuit = Circuit(limits.probe_first_s, limits.probe_longest_s, clock, chance)
        self._sources = Sources(limits.probe_first_s, limits.probe_longest_s, clock)
        self._brake = Brake(limits.max_consecutive_dead, limits.max_dead_share, limits.dead_window)
        self._backlog = Backlog()
        self._partitions = Partitions(
            consumer, retry_topic(group), limits.buffered_per_partition, self._forget, process.stop
        )
        self._undecoded: deque[Received] = deque()
        self._commits = Commits(self._partitions, consumer, publisher, process.telemetry, self._name, clock)
        self._under_way = 0
        self._decode_after = 0.0

    def run(self) -> None:
        """Deliver until the process is told to stop.

        Raises
        ------
        BrakeApplied
            Too many dead letters.
        PermanentRejection
            Another process took this one's place.
        """
        self._telemetry.gauge("scanstream_destination_up", 1, destination=self._name)
        self._partitions.subscribe([Topic.RESULTS])
        told = False
        try:
            while not self._process.stop.is_set():
                self._turn()
                if self._partitions.assigned and not told:
                    told = True
                    self._process.ready()
        except BrakeApplied:
            self._commits.write()
            raise
        self._drain()

    def _turn(self) -> None:
        busy = self._under_way or self._commits.waiting
        self._read(_BUSY_POLL_S if busy else _IDLE_POLL_S)
        self._collect()
        self._commits.write()
        self._probe()
        self._dispatch()
        self._commits.write()
        self._partitions.steer(hold=self._circuit.state is not State.CLOSED or bool(self._undecoded))

    def _drain(self) -> None:
        """Give deliveries under way a little time, and commit what they achieved."""
        end = self._clock() + self._limits.drain_s
        self._partitions.steer(hold=True)
        while self._under_way and self._clock() < end:
            self._consumer.poll(_BUSY_POLL_S)
            self._collect()
            self._commits.write()

    def _read(self, timeout_s: float) -> None:
        for _ in range(_BATCH):
            message = self._consumer.poll(timeout_s)
            if message is None:
                break
            timeout_s = 0
            received = self._partitions.receive(message)
            if received is not None:
                self._telemetry.count("scanstream_messages_consumed_total", topic=received.topic)
                self._undecoded.append(received)
        self._decode()

    def _decode(self) -> None:
        while self._undecoded and self._clock() >= self._decode_after:
            received = self._undecoded[0]
            try:
                self._backlog.add(Item(received, result_of(self._codec.decode(received.value))))
            except InvalidMessage as error:
                self._dead(self._clerk.unreadable(received, error, self._now()), type(error).__name__)
            except DestinationUnavailable as error:
                log.warning("schema registry is away", extra=fields(reason=str(error)))
                self._decode_after = self._clock() + 1.0
                return
            self._undecoded.popleft()

    def _collect(self) -> None:
        for end in self._crew.ends():
            if isinstance(end, Probed):
                self._probed(end)
                continue
            self._under_way -= 1
            if self._partitions.is_current(end.item.received):
                self._ended(end)
            else:
                self._backlog.finished(end.item.study)

    def _ended(self, end: End) -> None:
        now = self._now()
        if isinstance(end, Delivered):
            self._sources.answered(end.item.source)
            self._answered()
            self._backlog.finished(end.item.study)
            settlement = self._clerk.answered(end.item, end.objects, now)
            if settlement.forward is None:
                self._brake.delivered()
                self._commits.add(settlement)
            else:
                self._dead(settlement, "PermanentRejection")
        elif isinstance(end, Failed):
            self._failed(end, now)

    def _failed(self, end: Failed, now: datetime) -> None:
        item, error = end.item, end.error
        match after_failure(error, item.received.attempt, now, self._limits.retry_delays_s):
            case Wait(retry_after_s):
                self._backlog.put_back(item)
                if self._circuit.failed(retry_after_s):
                    self._telemetry.gauge("scanstream_destination_up", 0, destination=self._name)
                    log.warning("destination is away", extra=fields(destination=self._name, reason=str(error)))
                return
            case WaitForSource(retry_after_s):
                self._backlog.put_back(item)
                if self._sources.went(item.source, retry_after_s):
                    self._log_failure("gateway is away, its results wait", item, error)
                return
            case Retry(not_before):
                self._backlog.finished(item.study)
                if self._partitions.reads_retry_of(item.received):
                    self._backlog.expect_retry(item.study)
                self._commits.add(self._clerk.retry(item, error, now, not_before))
                self._log_failure("delivery failed, will be tried again", item, error)
            case DeadLetter():
                self._backlog.finished(item.study)
                self._dead(self._clerk.given_up(item, error, now), type(error).__name__)
                self._log_failure("delivery given up", item, error)
        self._sources.answered(item.source)
        self._answered()

    def _answered(self) -> None:
        """The destination took or judged something, so it is there."""
        if self._circuit.delivered():
            self._is_back()

    def _is_back(self) -> None:
        self._telemetry.gauge("scanstream_destination_up", 1, destination=self._name)
        log.info("destination is back", extra=fields(destination=self._name))

    def _dead(self, settlement: Settlement, error: str) -> None:
        told = settlement.forward.headers if settlement.forward else []
        self._telemetry.count("scanstream_messages_failed_total", topic=settlement.received.topic, error=error)
        self._brake.dead(dlq_topic(self._group), header(told, "scanstream_reason") or error)
        self._commits.add(settlement)

    def _probe(self) -> None:
        if self._circuit.probe_due():
            self._circuit.probing()
            self._crew.probe()

    def _probed(self, end: Probed) -> None:
        retry_after_s = end.error.retry_after_s if isinstance(end.error, DestinationUnavailable) else None
        self._circuit.probed(answered=end.error is None, retry_after_s=retry_after_s)

    def _dispatch(self) -> None:
        while self._under_way < self._limits.concurrency and self._circuit.may_deliver(self._under_way):
            item = self._backlog.next(
                self._now(), only_retries=self._partitions.catching_up, may_try=self._sources.may_try
            )
            if item is None:
                if not self._under_way and self._circuit.nothing_to_try():
                    self._is_back()
                return
            if item.result.outcome is ResultOutcome.COULD_NOT_RUN:
                self._backlog.finished(item.study)
                reason = f"the model could not run: {item.result.reason or 'no reason given'}"
                self._commits.add(self._clerk.skipped(item, reason, self._now()))
                continue
            self._under_way += 1
            self._sources.trying(item.source)
            self._crew.deliver(item)

    def _forget(self) -> None:
        """Partitions came or went: everything read before is void and will be read again by whoever owns it."""
        self._backlog.clear()
        self._undecoded.clear()
        self._commits.forget()

    def _log_failure(self, text: str, item: Item, error: Exception) -> None:
        log.warning(
            text,
            extra=fields(
                destination=self._name,
                study_instance_uid=item.study,
                source=item.received.where,
                attempt=item.received.attempt,
                error=type(error).__name__,
                reason=str(error),
            ),
        )
