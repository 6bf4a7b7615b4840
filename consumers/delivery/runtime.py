"""Results and verdicts on Kafka → a destination → outcomes on Kafka: the loop of every writer.

One thread polls, decides and commits; a small crew of threads delivers. Polling goes on whatever the destination
does, so the writer is never evicted from its group. Outcome (or retry, or dead letter) and offset are one
transaction.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from confluent_kafka import Consumer

from consumers.delivery.backlog import Backlog
from consumers.delivery.brake import Brake, BrakeApplied
from consumers.delivery.circuit import Circuit
from consumers.delivery.commits import Commits
from consumers.delivery.contents import Contents
from consumers.delivery.crew import Crew, Delivered, Failed, Probed
from consumers.delivery.gauges import Gauges
from consumers.delivery.intake import Intake
from consumers.delivery.item import Item, Received
from consumers.delivery.limits import Limits
from consumers.delivery.partitions import Partitions
from consumers.delivery.policy import DeadLetter, Retry, Wait, WaitForSource, after_failure
from consumers.delivery.rate import Rate
from consumers.delivery.refetch import Refetch
from consumers.delivery.settle import Clerk, Settlement
from consumers.delivery.sources import Sources
from consumers.delivery.work import Work
from consumers.destination import AddressedDestination, Destination, ReviewedDestination
from producers.kafka import EventPublisher
from producers.process import Process
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.events import ResultOutcome
from schemas.headers import header
from schemas.instants import of_unix
from schemas.logs import fields
from schemas.topics import Topic, dlq_topic, retry_topic

log = logging.getLogger(__name__)

_IDLE_POLL_S: Final = 0.1
_BUSY_POLL_S: Final = 0.003
_TRY_AGAIN_S: Final = 1.0


class Runtime:
    """The loop of one writer.

    Parameters
    ----------
    name
        Of the destination in outcomes, metrics and logs.
    consumer
        Member of ``group``, with ``enable.partition.eof``.
    again
        Makes a client without a group, for what must be read a second time.
    publisher
        Transactional.
    now, clock, chance
        Wall clock, monotonic clock and random numbers in [0, 1).
    """

    def __init__(
        self,
        process: Process,
        group: str,
        name: str,
        destination: Destination,
        consumer: Consumer,
        again: Callable[[], Consumer],
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
        self._name = name
        self._destination = destination
        self._consumer = consumer
        self._limits = limits
        self._now = now
        self._clock = clock
        self._crew = Crew(destination, limits.concurrency)
        self._clerk = Clerk(group, name)
        self._circuit = Circuit(limits.probe_first_s, limits.probe_longest_s, clock, chance)
        self._sources = Sources(limits.probe_first_s, limits.probe_longest_s, clock, limits.per_source)
        self._brake = Brake(limits.max_consecutive_dead, limits.max_dead_share, limits.dead_window)
        self._rate = Rate(limits.per_second, clock)
        self._gauges = Gauges(process.telemetry, name, now, clock)
        self._backlog = Backlog(max(limits.retry_delays_s, default=0.0))
        self._partitions = Partitions(consumer, retry_topic(group), limits.read_ahead, self._forget, process.stop)
        self._refetch = Refetch(again, self._partitions.received_of)
        self._contents = Contents(self._backlog, self._refetch, codec, limits.held_bytes)
        self._intake = Intake(consumer, self._partitions, self._backlog, self._contents, process.telemetry)
        self._commits = Commits(self._partitions, consumer, publisher, process.telemetry, name, clock)
        self._under_way = 0
        self._start_after = 0.0

    def run(self) -> None:
        """Deliver until the process is told to stop.

        Raises
        ------
        BrakeApplied
            Too many dead letters.
        PermanentRejection
            Another process took this one's place.
        DestinationUnavailable
            This consumer fell out of its group.
        """
        self._telemetry.gauge("scanstream_destination_up", 1, destination=self._name)
        reviewed = isinstance(self._destination, ReviewedDestination)
        self._partitions.subscribe([Topic.RESULTS, Topic.REVIEW] if reviewed else [Topic.RESULTS])
        told = False
        try:
            while not self._process.stop.is_set():
                self._turn()
                if self._partitions.assigned and not told:
                    told = True
                    self._process.ready()
        except BrakeApplied:
            self._commits.write(at_once=True)
            raise
        else:
            self._drain()
        finally:
            self._refetch.close()

    def _turn(self) -> None:
        if self._under_way:
            self._crew.wait(_BUSY_POLL_S)
            self._intake.read(0)
        else:
            self._intake.read(_BUSY_POLL_S if self._commits.waiting else _IDLE_POLL_S)
        self._collect()
        self._probe()
        self._dispatch()
        # the crew works on while Kafka takes the outcomes
        self._commits.write()
        self._partitions.steer(hold=False)
        self._partitions.check()
        self._gauges.show(self._backlog, self._circuit)

    def _drain(self) -> None:
        """Give deliveries under way a little time, and commit what they achieved."""
        end = self._clock() + self._limits.drain_s
        self._partitions.steer(hold=True)
        while self._under_way and self._clock() < end:
            self._crew.wait(_BUSY_POLL_S)
            self._consumer.poll(0)
            self._collect()
        self._commits.write(at_once=True)

    def _collect(self) -> None:
        for end in self._crew.ends():
            if isinstance(end, Probed):
                self._probed(end)
                continue
            self._under_way -= 1
            self._sources.ended(end.work.source)
            if not self._partitions.is_current(end.work.received):
                self._backlog.finished(end.work.study)
            elif isinstance(end, Delivered):
                self._delivered(end)
            else:
                self._failed(end, self._now())

    def _delivered(self, end: Delivered) -> None:
        self._sources.answered(end.work.source)
        self._answered()
        self._backlog.finished(end.work.study)
        settlement = self._clerk.answered(end.work, end.objects, self._now())
        if settlement.forward is None:
            self._brake.delivered()
            self._commits.add(settlement)
        else:
            self._dead(settlement, "PermanentRejection")

    def _failed(self, end: Failed, now: datetime) -> None:
        work, error = end.work, end.error
        match after_failure(
            error,
            work.received.attempt,
            now,
            self._limits.retry_delays_s,
            patience_ends=self._patience_ends(work),
        ):
            case Wait(retry_after_s):
                self._put_back(work.item)
                if self._circuit.failed(retry_after_s):
                    self._telemetry.gauge("scanstream_destination_up", 0, destination=self._name)
                    log.warning("destination is away", extra=fields(destination=self._name, reason=str(error)))
                return
            case WaitForSource(retry_after_s):
                self._put_back(work.item)
                if self._sources.went(work.source, retry_after_s):
                    self._log_failure("a source is away, its results wait", work, error)
                return
            case Retry(not_before):
                self._backlog.finished(work.study)
                if self._partitions.reads_retry_of(work.received):
                    self._backlog.expect_retry(work.study)
                self._commits.add(self._clerk.retry(work, error, now, not_before))
                self._log_failure("delivery failed, will be tried again", work, error)
            case DeadLetter():
                self._backlog.finished(work.study)
                self._dead(self._clerk.given_up(work, error, now), type(error).__name__)
                self._log_failure("delivery given up", work, error)
        self._sources.answered(work.source)
        self._answered()

    def _patience_ends(self, work: Work) -> datetime | None:
        patience_s = self._limits.source_patience_s
        if patience_s is None:
            return None
        return of_unix(work.item.timestamp_ms / 1000 + patience_s)

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
        # what one address refuses says nothing about the next
        if settlement.outcome is None or not isinstance(self._destination, AddressedDestination):
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
        while (
            self._under_way < self._limits.concurrency
            and self._circuit.may_deliver(self._under_way)
            and self._clock() >= self._start_after
            and self._rate.allows()
        ):
            item = self._backlog.next(
                self._now(),
                only_retries=self._partitions.catching_up,
                may_try=self._sources.may_try,
                only=self._partitions.only,
            )
            if item is None:
                if not self._under_way and self._circuit.nothing_to_try():
                    self._is_back()
                return
            work = self._prepare(item)
            if work is not None:
                self._under_way += 1
                self._rate.take()
                self._sources.trying(work.source)
                self._crew.deliver(work)

    def _prepare(self, item: Item) -> Work | None:
        """Load what was chosen; ``None`` where it is not to be delivered, or not now."""
        try:
            received = self._contents.take(item)
            work = self._work(item, received)
        except DestinationUnavailable as error:
            log.warning("a result cannot be read now", extra=fields(reason=str(error)))
            self._put_back(item)
            self._start_after = self._clock() + _TRY_AGAIN_S
            return None
        if work is None:
            return None
        result, verdict = work.subject.result, work.subject.verdict
        item.source = work.source
        if not work.source and isinstance(self._destination, AddressedDestination):
            self._backlog.finished(item.study)
            self._commits.add(Settlement(received))
            return None
        if not self._sources.may_try(work.source):
            self._put_back(item)
            return None
        if verdict is not None and self._backlog.put_behind(item, result.event_id):
            self._contents.keep(item)
            return None
        if result.outcome is ResultOutcome.COULD_NOT_RUN and not self._destination.wants_failures:
            self._backlog.finished(item.study)
            reason = f"the model could not run: {result.reason or 'no reason given'}"
            self._commits.add(self._clerk.skipped(work, reason, self._now()))
            return None
        return work

    def _work(self, item: Item, received: Received) -> Work | None:
        try:
            subject = self._contents.decode(received)
        except InvalidMessage as error:
            self._backlog.finished(item.study)
            self._dead(self._clerk.unreadable(received, error, self._now()), type(error).__name__)
            return None
        if isinstance(self._destination, AddressedDestination):
            return Work(item, received, subject, self._destination.address(subject.result))
        return Work(item, received, subject, subject.gateway)

    def _put_back(self, item: Item) -> None:
        self._contents.keep(item)
        self._backlog.put_back(item)

    def _forget(self) -> None:
        """Partitions came or went: everything read before is void and will be read again by whoever owns it."""
        self._backlog.clear()
        self._contents.clear()
        self._intake.forget()
        self._commits.forget()

    def _log_failure(self, text: str, work: Work, error: Exception) -> None:
        log.warning(
            text,
            extra=fields(
                destination=self._name,
                study_instance_uid=work.study,
                source=work.received.where,
                attempt=work.received.attempt,
                error=type(error).__name__,
                reason=str(error),
            ),
        )
