"""``scanstream writer audit``: every topic of the contract → the audit store, in batches.

The store decides where reading starts: when partitions are assigned, each is read from the row after its last one.
Offsets are committed to Kafka too, after the rows are in, but only for people who watch the lag.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, TypeVar

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from consumers.audit import http_interface
from consumers.audit.embedded import EmbeddedEngine
from consumers.audit.rows import RawMessage, rows_of
from consumers.audit.store import AuditStore, connect
from producers import topic_admin
from producers.kafka import consumer_config, new_consumer
from producers.membership import Membership
from producers.messages import bytes_of, headers_of
from producers.poll_errors import go_on_after
from producers.process import Process
from producers.schema_registry import codec_from
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.errors import ConfigurationError, DestinationUnavailable
from schemas.logs import fields
from schemas.settings import ClickHouseSettings, KafkaSettings, RegistrySettings
from schemas.topics import TOPICS, WRITER_GROUPS, Topic

log = logging.getLogger(__name__)

#: Changelogs are the memory of a process, not events.
AUDITED: Final = tuple(spec.topic.value for spec in TOPICS if spec.topic not in {Topic.ASSEMBLY, Topic.RELAY})

Chain = tuple[str, int]
T = TypeVar("T")


def body(process: Process) -> None:
    """Run the audit writer until the process is told to stop."""
    kafka, settings = KafkaSettings(), ClickHouseSettings()
    codec = codec_from(RegistrySettings())
    with audit_dsn(process, settings) as dsn:
        store = _when_available(lambda: AuditStore(connect(dsn)), process.stop)
        if store is None:
            return
        _when_available(store.migrate, process.stop)
        topic_admin.wait_until_ready(kafka, process.stop)
        config = consumer_config(kafka, process.name, WRITER_GROUPS["audit"], instance_id=process.instance)
        consumer = new_consumer(config)
        try:
            AuditLoop(consumer, store, codec, settings, process.telemetry, process.stop).run(process.ready)
        finally:
            consumer.close()


@contextmanager
def audit_dsn(process: Process, settings: ClickHouseSettings) -> Iterator[str]:
    """Address of the store: the configured server, or the embedded engine served on loopback meanwhile."""
    if settings.dsn is not None:
        yield settings.dsn.get_secret_value()
        return
    password = secrets.token_urlsafe(32)
    engine = EmbeddedEngine(process.settings.data_dir / "audit")
    interface = http_interface.HttpInterface(
        http_interface.create_app(engine, password), settings.embedded_http_host, settings.embedded_http_port
    )
    interface.start()
    log.info("embedded audit store open", extra=fields(port=interface.port))
    try:
        yield f"clickhouse://{http_interface.WRITER}:{password}@{interface.host}:{interface.port}/default"
    finally:
        interface.close()
        engine.close()


class AuditLoop:
    """Poll, chain, insert, commit.

    Parameters
    ----------
    consumer
        Not yet subscribed.
    store
        With its tables made.
    codec
        Decodes values.
    settings
        Size and age of a batch.
    telemetry
        Counts rows.
    stop
        Ends the loop.
    """

    def __init__(
        self,
        consumer: Consumer,
        store: AuditStore,
        codec: Codec,
        settings: ClickHouseSettings,
        telemetry: Telemetry,
        stop: threading.Event,
    ) -> None:
        self._consumer = consumer
        self._store = store
        self._codec = codec
        self._settings = settings
        self._telemetry = telemetry
        self._stop = stop
        self._next: dict[Chain, int] = {}
        self._heads: dict[Chain, str] = {}
        self._batch: list[RawMessage] = []

    def run(self, ready: Callable[[], None]) -> None:
        """Work until told to stop; what was collected is inserted before the end."""
        membership = Membership(self._consumer)
        membership.subscribe(list(AUDITED), came=self._assigned, went=self._revoked)
        ready()
        started = 0.0
        while not self._stop.is_set():
            wait = (
                0.2 if not self._batch else max(0.0, started + self._settings.batch_interval_s - time.monotonic())
            )
            messages = self._consumer.consume(self._settings.batch_rows, timeout=min(wait, 0.2))
            if messages and not self._batch:
                started = time.monotonic()
            for message in messages:
                self._take(message)
            membership.check()
            full = len(self._batch) >= self._settings.batch_rows
            if self._batch and (full or time.monotonic() - started >= self._settings.batch_interval_s):
                self._flush()
        if self._batch:
            self._flush()

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            go_on_after(error)
            return
        raw = raw_message(message)
        chain = (raw.topic, raw.partition)
        if chain not in self._next:
            return
        if raw.offset < self._next[chain]:
            raise ConfigurationError(
                f"{raw.topic}[{raw.partition}] starts again at {raw.offset} though the audit store has rows up to "
                f"{self._next[chain] - 1}: this is another Kafka cluster; give it an audit database of its own"
            )
        self._next[chain] = raw.offset + 1
        self._batch.append(raw)

    def _flush(self) -> None:
        while True:
            # built anew at each try: a rebalance may have taken partitions, and their rows, away
            rows, heads = rows_of(self._batch, self._codec, self._heads)
            try:
                self._store.insert(rows, datetime.now(UTC))
                break
            except DestinationUnavailable as error:
                log.warning("audit store away, waiting", extra=fields(reason=str(error)))
                if not self._wait_paused():
                    return
        self._heads, self._batch = heads, []
        self._telemetry.count("scanstream_audit_rows_total", len(rows))
        self._commit()

    def _wait_paused(self) -> bool:
        """Stay a member of the group for a while without taking messages; ``False`` when the batch is void."""
        self._consumer.pause(self._consumer.assignment())
        for _ in range(5):
            self._consumer.poll(0.2)
            if self._stop.is_set() or not self._batch:
                return False
        self._consumer.resume(self._consumer.assignment())
        return True

    def _commit(self) -> None:
        offsets = [TopicPartition(topic, partition, after) for (topic, partition), after in self._next.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            log.info("offsets not committed; the store knows them", extra=fields(reason=str(error)))

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # only the store knows where to read on, so there is nothing to do before it answers
        stored = _when_available(self._store.heads, self._stop)
        if stored is None:
            return
        for part in partitions:
            chain = (part.topic, part.partition)
            last, head = stored.get(chain, (-1, None))
            self._next[chain] = last + 1
            if head is not None:
                self._heads[chain] = head
            # beginning of the log where the store has nothing yet
            part.offset = last + 1 if last >= 0 else -2
        consumer.assign(partitions)
        log.info("partitions assigned", extra=fields(partitions=len(partitions), rows_known=len(stored)))

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {(part.topic, part.partition) for part in partitions}
        self._batch = [raw for raw in self._batch if (raw.topic, raw.partition) not in gone]
        for chain in gone:
            self._next.pop(chain, None)
            self._heads.pop(chain, None)
        # librdkafka keeps a partition paused that comes back after a rebalance
        consumer.resume(partitions)
        consumer.unassign()


def raw_message(message: Message) -> RawMessage:
    """Plain form of a Kafka message."""
    return RawMessage(
        topic=str(message.topic()),
        partition=int(message.partition() or 0),
        offset=int(message.offset() or 0),
        key=bytes_of(message.key()),
        value=bytes_of(message.value()),
        headers=headers_of(message),
        timestamp_ms=message.timestamp()[1],
    )


def _when_available(action: Callable[[], T], stop: threading.Event, delay_s: float = 1.0) -> T | None:
    """Result of the action once the store answers; ``None`` when told to stop before."""
    while not stop.is_set():
        try:
            return action()
        except DestinationUnavailable as error:
            log.warning("audit store away, waiting", extra=fields(reason=str(error)))
            stop.wait(delay_s)
    return None
