"""Events → Kafka, plainly or in transactions; and the configuration of every Kafka client.

The only place that builds librdkafka clients. Producers are idempotent (``acks=all``); a transactional producer
makes outputs and consumer offsets visible together or not at all (KIP-98, KIP-447). Readers: ``read_committed``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from producers.client_log import client_log
from producers.kafka_errors import Fenced, fencing, kafka_errors
from producers.lost_brokers import WatchedConsumer
from producers.telemetry import Telemetry
from producers.unheard import PURGED, Queued, Unheard
from producers.waiting import call_again, slices, without_end
from schemas import headers
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable
from schemas.events import Event
from schemas.logs import fields
from schemas.settings import KafkaSettings
from schemas.topics import MAX_MESSAGE_BYTES, Topic, spec_of

log = logging.getLogger(__name__)

Config = dict[str, str | int | float | bool]

#: A dead member of a group is noticed after this long; a restarted one (static membership) takes over at once.
SESSION_TIMEOUT_MS: Final = 10_000
TRANSACTION_TIMEOUT_MS: Final = 15_000

#: Named in a transaction that is aborted; any partition that exists would do.
_ANY_PLACE: Final = TopicPartition(Topic.AUDIT, 0, 0)

#: How long Kafka may take to note the offsets of a transaction, in seconds.
_OFFSETS_S: Final = 10.0

#: Let the partitioner choose from the key (librdkafka's ``RD_KAFKA_PARTITION_UA``).
BY_KEY: Final = -1


def producer_config(settings: KafkaSettings, client_id: str, transactional_id: str | None = None) -> Config:
    """Configuration of an idempotent producer.

    Parameters
    ----------
    settings
        Connection.
    client_id
        Name of the process, seen in the broker's logs.
    transactional_id
        Stable name of this place of work: a restart under the same name ends what its predecessor left open,
        and fences it off should it still live. ``None`` for a producer without transactions.
    """
    config: Config = settings.librdkafka() | {
        "client.id": client_id,
        "enable.idempotence": True,
        "linger.ms": 2,
        "compression.type": "lz4",
        "message.max.bytes": MAX_MESSAGE_BYTES,
        "message.timeout.ms": 0 if transactional_id is None else TRANSACTION_TIMEOUT_MS,
    }
    if transactional_id is not None:
        config["transactional.id"] = transactional_id
        config["transaction.timeout.ms"] = TRANSACTION_TIMEOUT_MS
    return config


def consumer_config(
    settings: KafkaSettings,
    client_id: str,
    consumer_group: str,
    *,
    instance_id: str | None = None,
    fetch_wait_ms: int = 500,
) -> Config:
    """Configuration of a consumer that commits by itself never, and reads only committed messages.

    Parameters
    ----------
    settings
        Connection.
    client_id
        Name of the process.
    consumer_group
        Kafka ``group.id``.
    instance_id
        Static membership (KIP-345): a restarted process takes its partitions back without a rebalance.
    fetch_wait_ms
        How long an unanswered fetch stays with the broker, in milliseconds. A message ends the wait at once, so
        a long one costs no latency and saves processor time at rest. A short one suits who pauses and resumes
        partitions, or waits for the end of a partition: both hear of it only with the next fetch.
    """
    config: Config = settings.librdkafka() | {
        "client.id": client_id,
        "group.id": consumer_group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "session.timeout.ms": SESSION_TIMEOUT_MS,
        "heartbeat.interval.ms": 2_000,
        "fetch.wait.max.ms": fetch_wait_ms,
        "fetch.message.max.bytes": MAX_MESSAGE_BYTES,
        "fetch.error.backoff.ms": 100,
        "topic.metadata.refresh.interval.ms": 60_000,
        "partition.assignment.strategy": "range",
    }
    if instance_id is not None:
        config["group.instance.id"] = instance_id
    return config


def new_consumer(config: Config) -> Consumer:
    """Consumer whose broker errors go to our log, and whose ``poll`` raises when it knows no broker any more."""
    return WatchedConsumer(config, client_log())


class EventPublisher:
    """Produces events of the contract.

    Parameters
    ----------
    settings
        Connection.
    codec
        Framing and Avro.
    source
        CloudEvents ``source`` of this process, such as ``/site-1/gateway``.
    telemetry
        Counts what was produced.
    transactional_id
        See :func:`producer_config`; ``None`` for a publisher without transactions.
    consumer_group
        Whose offsets its transactions carry; ``None`` where they carry none.
    time_left
        Seconds that anything may still take (:class:`producers.waiting.TimeLeft`).
    place_s
        How long an event waits for a place in a queue that is full, in seconds.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        codec: Codec,
        source: str,
        telemetry: Telemetry,
        transactional_id: str | None = None,
        consumer_group: str | None = None,
        time_left: Callable[[], float] = without_end,
        place_s: float = 30.0,
    ) -> None:
        self._settings = settings
        self._time_left, self._place_s = time_left, place_s
        self._consumer_group = consumer_group
        self._codec = codec
        self._source = source
        self._telemetry = telemetry
        self._config = producer_config(settings, source.rpartition("/")[2], transactional_id)
        self._producer = self._client()
        self._unheard = Unheard(self._delivered) if transactional_id is None else None
        self._failed: KafkaError | None = None
        self._stuck = False
        self._fenced: Fenced | None = None
        self._tries_left = _TRIES

    def start(self, timeout_s: float = 30.0) -> None:
        """Register the transactional id: ends what a predecessor left open and fences it.

        A broker that is told to stop in the middle of a commit may write that it is done and lose the marker of
        the offsets (seen with Apache Kafka 4.3.0). Then the offsets of the group stay uncertain for ever, and no
        member can start. So an empty transaction on them is aborted first, which ends whatever this transactional
        id left there: the messages of the lost commit are read once more.

        Raises
        ------
        DestinationUnavailable
            No broker answered in time; try again, which another client does after some tries in vain.
        """
        # one that is still registering goes on: left behind, its request could overtake and fence that of the next
        if self._tries_left <= 0:
            self._producer, self._tries_left = self._client(), _TRIES
        with kafka_errors("start transactions"):
            self._tries_left -= 1
            call_again(self._producer.init_transactions, timeout_s, self._time_left)
            self._tries_left = 0
            if self._consumer_group is not None:
                self._producer.begin_transaction()
                self.send_offsets([_ANY_PLACE], self._outside(self._consumer_group))
                call_again(self._producer.abort_transaction, timeout_s, self._time_left)

    def renew(self, timeout_s: float) -> None:
        """Begin anew with another client; what the one before left open is ended by the new registration.

        Raises
        ------
        DestinationUnavailable
            No broker answered in time; try again.
        """
        self._failed = self._fenced = None
        # until the new one has started, the next transaction begins anew once more
        self._stuck = True
        self.start(timeout_s)
        self._stuck = False

    def _outside(self, group: str) -> object:
        """Metadata of a consumer group as of somebody who is no member."""
        config = consumer_config(self._settings, str(self._config["client.id"]), group)
        with closing(new_consumer(config)) as asker:
            return asker.consumer_group_metadata()

    def _client(self) -> Producer:
        return Producer(dict(self._config), logger=client_log())

    def publish(
        self, topic: Topic, key: str, event: Event, traceparent: str | None = None, partition: int = BY_KEY
    ) -> None:
        """Queue one event; :meth:`flush` or the end of the transaction makes it durable."""
        record = type(event).__name__
        if record not in spec_of(topic).records:
            raise ValueError(f"{record} does not belong on {topic}: see schemas/topics.py")
        own = headers.cloud_event(event, self._source, traceparent)
        self.publish_raw(topic, key.encode(), self._codec.encode(event), own, partition)

    def publish_raw(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        message_headers: headers.Headers,
        partition: int = BY_KEY,
    ) -> None:
        """Queue bytes as they are (retry and dead-letter topics, outbox rows); ``None`` is a tombstone.

        ``partition`` is for changelogs, which must lie on the partition of their input; else the key decides.

        Raises
        ------
        DestinationUnavailable
            Kafka takes nothing, and the queue of what it did not take was full for too long.
        """
        if self._unheard is not None and (heir := self._unheard.heir(self._producer, self._client)) is not None:
            self._producer = self._unheard.moved(self._producer, heir)
        event: Queued = {
            "topic": topic,
            "value": value,
            "key": key,
            "partition": partition,
            "headers": list(message_headers),
        }
        for wait_s in slices(self._place_s, self._time_left):
            try:
                if self._unheard is None:
                    self._producer.produce(**event, on_delivery=self._delivered)
                else:
                    self._unheard.queue(event, self._producer)
            except BufferError:
                self._producer.poll(wait_s)
                continue
            self._producer.poll(0)
            self._telemetry.count("scanstream_events_produced_total", topic=topic)
            return
        raise DestinationUnavailable("Kafka takes no events and the queue is full: check that the broker is up")

    def flush(self, timeout_s: float = 30.0) -> None:
        """Wait until everything queued is acknowledged by all in-sync replicas.

        Raises
        ------
        DestinationUnavailable
            Something was not acknowledged in time; it stays queued and is sent when Kafka is back, by another
            client should this one hear nothing any more (:mod:`producers.unheard`).
        """
        remaining = 0
        for wait_s in slices(timeout_s, self._time_left):
            remaining = self._producer.flush(wait_s)
            if not remaining:
                break
        failed, self._failed = self._failed, None
        if failed is not None:
            raise DestinationUnavailable(f"Kafka did not take an event: {failed.str()}")
        if remaining:
            raise DestinationUnavailable(
                f"Kafka did not acknowledge {remaining} events in {timeout_s:.0f} s: check that the broker is up"
            )

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """One Kafka transaction: committed at the end of the block, aborted when it raises.

        Raises
        ------
        DestinationUnavailable
            Kafka could not commit; nothing became visible, process the same input again.
        Fenced
            Another producer with the same transactional id took over: this process must end.
        """
        if self._fenced is not None:
            raise Fenced(str(self._fenced), self._fenced.code)
        if self._stuck:
            self.renew(TRANSACTION_TIMEOUT_MS / 1000)
        with kafka_errors("begin a transaction"):
            self._producer.begin_transaction()
        try:
            # the fence may be noticed by any event
            with fencing("take an event"):
                yield Transaction(self)
            with self._telemetry.time("scanstream_transaction_seconds"), kafka_errors("commit"):
                call_again(self._producer.commit_transaction, TRANSACTION_TIMEOUT_MS / 1000, self._time_left)
        except Fenced as error:
            # whoever fenced this client has ended what it had open
            self._fenced = error
            raise
        except BaseException as error:
            self._abort()
            # a client that knows no broker any more can abort, and would fail at the next transaction too
            self._stuck |= isinstance(error, (DestinationUnavailable, KafkaException))
            raise

    def send_offsets(self, offsets: list[TopicPartition], group: object) -> None:
        """Add offsets to the transaction under way.

        librdkafka waits for ever here, whatever time-out it is given, when the group's coordinator goes away at
        this moment (its issue 5456). So a thread of its own waits, and a client that does not come back is left
        behind: the next transaction begins with another one, which fences it.

        Raises
        ------
        DestinationUnavailable
            Kafka did not take them in time.
        """
        client, failed = self._producer, list[BaseException]()

        def send() -> None:
            try:
                client.send_offsets_to_transaction(offsets, group, _OFFSETS_S)
            except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
                failed.append(error)

        thread = threading.Thread(target=send, name="send-offsets", daemon=True)
        thread.start()
        for wait_s in slices(_OFFSETS_S + 1.0, self._time_left):
            thread.join(wait_s)
            if not thread.is_alive():
                break
        else:
            self._stuck = True
            raise DestinationUnavailable("Kafka did not take the offsets of a transaction in time")
        if failed:
            raise failed[0]

    def _abort(self) -> None:
        if self._stuck:
            return
        try:
            call_again(self._producer.abort_transaction, TRANSACTION_TIMEOUT_MS / 1000, self._time_left)
        except KafkaException as error:
            # the registration of the client that the next transaction takes ends what this one left open
            self._stuck = True
            log.warning("transaction could not be aborted", extra=fields(reason=str(error)))

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and error.code() not in PURGED:
            self._failed = error
            log.warning("event not delivered", extra=fields(topic=message.topic(), reason=error.str()))


class Transaction:
    """What may be done inside a transaction."""

    def __init__(self, publisher: EventPublisher) -> None:
        self.publish: Callable[..., None] = publisher.publish
        self.publish_raw: Callable[..., None] = publisher.publish_raw
        self._publisher = publisher

    def consumed(self, offsets: Iterable[TopicPartition], consumer: Consumer) -> None:
        """Commit the consumer's offsets (of the next message to read) with this transaction (KIP-447)."""
        positions = list(offsets)
        if positions:
            with kafka_errors("send offsets"):
                self._publisher.send_offsets(positions, consumer.consumer_group_metadata())


#: How often a client may try to register before another one does.
_TRIES: Final = 3
