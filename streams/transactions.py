"""Consume, decide, produce: input offsets, changelog and outputs in one Kafka transaction (KIP-98, KIP-447).

Guarantee: what was decided and what it was decided from become visible together or not at all. After any Kafka
error everything in memory is thrown away and read again from the changelog and the committed offsets: recovery is
a new start, so there is only one way to come up. A broker that is away is waited for without limit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from producers.kafka import EventPublisher, Transaction, consumer_config, new_consumer
from producers.kafka_errors import kafka_errors
from producers.membership import Membership
from producers.messages import bytes_of, headers_of
from producers.poll_errors import has_ended
from producers.process import Process
from schemas import headers
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, InvalidMessage, PermanentRejection
from schemas.logs import fields
from schemas.settings import KafkaSettings
from streams.assignment import Assigned, require_equal_partitions, restore
from streams.clock import Clock, system_clock
from streams.dead_letters import DeadLetters
from streams.partition import Change, Output, Received, Source

log = logging.getLogger(__name__)

#: Longest sleep in a poll, in seconds; a request to stop is seen after it.
IDLE_S: Final = 0.5
#: Messages taken before timers get their turn.
BATCH: Final = 500
START_TIMEOUT_S: Final = 5.0
#: Pause before a new start after an error, in seconds.
RESTART_S: Final = 0.2
#: Two refusals by the broker within this time, in seconds, mean that another process has our name.
FENCED_TWICE_S: Final = 60.0


@dataclass(frozen=True)
class StreamTask:
    """A consume-transform-produce loop.

    Attributes
    ----------
    process
        Identity, metrics, request to stop.
    kafka
        Connection.
    codec
        Framing and Avro.
    consumer_group
        Kafka group of all processes that share this work.
    sources
        Input topics and what happens to their messages.
    commit_interval_s
        Offsets and state that nobody waits for are committed so often; outputs are committed at once.
    observe
        Told of outputs after they became visible.
    clock
        Now.
    """

    process: Process
    kafka: KafkaSettings
    codec: Codec
    consumer_group: str
    sources: Sequence[Source]
    commit_interval_s: float
    observe: Callable[[Sequence[Output]], None]
    clock: Clock = system_clock

    def run(self) -> None:
        """Work until ``process.stop`` is set.

        Raises
        ------
        PermanentRejection
            Another process works under this name.
        ScanstreamError
            Too many messages in a row could not be understood.
        ConfigurationError
            A changelog has another number of partitions than its input.
        """
        stop = self.process.stop
        said = False
        fenced_at = float("-inf")
        first = True
        while not stop.is_set():
            session = _Session(self, announce=first)
            try:
                session.run()
            except DestinationUnavailable as error:
                if not said or session.worked:
                    log.warning(
                        "waiting for Kafka, then going on where it stopped", extra=fields(reason=str(error))
                    )
                said = True
            except PermanentRejection as error:
                now = self.clock().monotonic
                if session.evicted or now - fenced_at < FENCED_TWICE_S:
                    raise
                fenced_at = now
                log.warning("transaction given up by the broker, starting anew", extra=fields(reason=str(error)))
            finally:
                session.close()
            first = first and not session.worked
            stop.wait(RESTART_S)


class _Session:
    """From joining the group to the first error; holds everything that an error throws away."""

    def __init__(self, task: StreamTask, *, announce: bool) -> None:
        self.worked = False
        self.evicted = False
        self._task = task
        self._announce = announce
        self._sources = {source.topic: source for source in task.sources}
        self._assigned: dict[tuple[str, int], Assigned] = {}
        self._dead = DeadLetters(task.consumer_group)
        self._uncommitted_since: float | None = None
        self._publisher: EventPublisher | None = None
        config = consumer_config(
            task.kafka, task.process.name, task.consumer_group, instance_id=task.process.instance
        )
        self._consumer = new_consumer(config | {"enable.partition.eof": True})

    def run(self) -> None:
        """Join, then accept, decide and commit until told to stop."""
        task = self._task
        try:
            require_equal_partitions(self._consumer, task.sources)
            self._publisher = EventPublisher(
                task.kafka,
                task.codec,
                task.process.source,
                task.process.telemetry,
                f"{task.process.instance}.tx",
                task.consumer_group,
            )
            self._publisher.start(START_TIMEOUT_S)
            membership = Membership(self._consumer)
            membership.subscribe(list(self._sources), came=self._on_assign, went=self._on_revoke)
            while not task.process.stop.is_set():
                self._accept_batch()
                membership.check()
                outputs = self._wake()
                if outputs or self._dead.letters or self._interval_is_over():
                    self._commit(outputs)
        except KafkaException as error:
            self._judge(error.args[0])
            raise DestinationUnavailable(f"Kafka client: {error.args[0].str()}") from error

    def close(self) -> None:
        """Leave without giving up the place in the group (static membership)."""
        self._assigned.clear()
        self._consumer.close()

    @kafka_errors("take partitions")
    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        task = self._task
        restored = restore(
            consumer, partitions, self._sources, task.kafka, task.process.name, task.process.stop, task.clock()
        )
        consumer.assign([TopicPartition(item.source.topic, item.number, item.position) for item in restored])
        self._assigned = {(item.source.topic, item.number): item for item in restored}
        self._uncommitted_since = None
        self.worked = True
        log.info("partitions assigned", extra=fields(partitions=len(restored), open_studies=self._show_waiting()))
        if self._announce:
            self._announce = False
            task.process.ready()

    @kafka_errors("give partitions back")
    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Forget everything: the next owner starts from what is committed, and so do we."""
        # librdkafka keeps a partition paused that comes back after a rebalance
        consumer.resume(partitions)
        self._assigned.clear()
        self._dead = DeadLetters(self._task.consumer_group)
        self._uncommitted_since = None

    def _accept_batch(self) -> None:
        message = self._consumer.poll(self._longest_sleep())
        for _ in range(BATCH):
            if message is None:
                return
            self._accept(message)
            message = self._consumer.poll(0)
        if message is not None:
            self._accept(message)

    def _longest_sleep(self) -> float:
        now = self._task.clock().monotonic
        times = [item.logic.due(item.behind(self._consumer)) for item in self._assigned.values()]
        if self._uncommitted_since is not None:
            times.append(self._uncommitted_since + self._task.commit_interval_s)
        return min(max(min(times, default=float("inf")) - now, 0.0) + 0.001, IDLE_S)

    def _accept(self, message: Message) -> None:
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            self._judge(error)
            return
        item = self._assigned.get((str(message.topic()), int(message.partition() or 0)))
        if item is None:  # taken from us since it was fetched
            return
        item.at_end = error is not None
        if error is not None:
            return
        task, at, offset = self._task, self._task.clock(), int(message.offset() or 0)
        task.process.telemetry.count("scanstream_messages_consumed_total", topic=item.source.topic)
        try:
            key, value, told = bytes_of(message.key()), bytes_of(message.value()), headers_of(message)
            headers.require_room(key, value, told)
            event = task.codec.decode(value)
            trace = headers.header(told, "traceparent")
            item.logic.accept(Received(event, offset, trace), at)
            self._dead.understood()
        except InvalidMessage as problem:
            self._put_aside(message, problem)
        item.position = offset + 1
        if self._uncommitted_since is None:
            self._uncommitted_since = at.monotonic
        if item.logic.blocked and not item.paused:
            item.paused = True
            self._consumer.pause([item.place])

    def _put_aside(self, message: Message, problem: InvalidMessage) -> None:
        topic = str(message.topic())
        self._dead.add(message, problem, self._task.clock())
        self._task.process.telemetry.count(
            "scanstream_messages_failed_total", topic=topic, error=type(problem).__name__
        )
        where = f"{topic}[{message.partition()}]@{message.offset()}"
        log.warning("message put aside", extra=fields(message=where, to=self._dead.topic, reason=str(problem)))

    def _judge(self, error: KafkaError) -> None:
        """A broker that went away comes back by itself; anything else needs a new start."""
        if error.code() in _PASSING:
            return
        if has_ended(error):
            self.evicted = True
            raise PermanentRejection(
                f"another process took the place of {self._task.process.instance} in the group: "
                "give one of the two another SCANSTREAM_NODE",
                error.code(),
            )
        raise DestinationUnavailable(f"Kafka client: {error.str()}")

    def _wake(self) -> list[Output]:
        at = self._task.clock()
        outputs: list[Output] = []
        for item in self._assigned.values():
            if item.logic.due(behind := item.behind(self._consumer)) <= at.monotonic:
                outputs += item.logic.wake(at, behind)
        return outputs

    def _interval_is_over(self) -> bool:
        since = self._uncommitted_since
        return since is not None and self._task.clock().monotonic >= since + self._task.commit_interval_s

    def _commit(self, outputs: Sequence[Output]) -> None:
        task, at = self._task, self._task.clock()
        if self._publisher is None:
            return
        offsets = [place for item in self._assigned.values() if (place := item.offset_to_commit()) is not None]
        changes = [(item, change) for item in self._assigned.values() for change in item.logic.changes(at)]
        if outputs or offsets or changes or self._dead.letters:
            with self._publisher.transaction() as transaction:
                for item, change in changes:
                    _record(transaction, item, change)
                for output in outputs:
                    transaction.publish(output.topic, output.key, output.event, output.traceparent)
                for letter in self._dead.letters:
                    transaction.publish_raw(self._dead.topic, letter.key, letter.value, letter.headers)
                transaction.consumed(offsets, self._consumer)
            task.observe(outputs)
        self._dead.letters.clear()
        self._uncommitted_since = None
        for item in self._assigned.values():
            item.committed = item.logic.committable(item.position)
            if item.paused and not item.logic.blocked:
                item.paused = item.at_end = False
                self._consumer.resume([item.place])
        self._show_waiting()

    def _show_waiting(self) -> int:
        """Set the gauges of what waits; returns the sum."""
        waiting = {
            source.waiting_metric: sum(
                item.logic.waiting for item in self._assigned.values() if item.source is source
            )
            for source in self._task.sources
            if source.waiting_metric is not None
        }
        for metric, number in waiting.items():
            self._task.process.telemetry.gauge(metric, number)
        return sum(waiting.values())


#: Errors that librdkafka reports and recovers from by itself.
_PASSING: Final = frozenset(
    {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._TIMED_OUT}
)

#: The broker gave our place in the group to a newer process of the same name (KIP-345).


def _record(transaction: Transaction, item: Assigned, change: Change) -> None:
    """Write a changelog record to the partition with the number of its input's."""
    changelog = item.source.changelog
    if changelog is None:
        raise ValueError(f"{item.source.topic} has state but no changelog topic")
    if change.state is None:
        transaction.publish_raw(changelog, change.key.encode(), None, [], partition=item.number)
    else:
        transaction.publish(changelog, change.key, change.state, partition=item.number)
