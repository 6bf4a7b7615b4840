"""Kafka → live view: a thread that reads the whole log of studies, tasks and results, and then stays at its end.

No consumer group and no commits (any number of API processes read on their own), committed messages only. The
view is *caught up* once the end of every partition was reached. A message that cannot be decoded is logged and
passed over: this reader decides nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from dashboards.live.reviews import Place
from dashboards.live.view import LiveView
from producers.kafka import consumer_config, new_consumer
from producers.messages import bytes_of
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.logs import fields
from schemas.settings import KafkaSettings
from schemas.topics import TASK_TOPICS, Topic

log = logging.getLogger(__name__)

TOPICS: Final = (
    Topic.STUDIES,
    *TASK_TOPICS.values(),
    Topic.STATUS,
    Topic.RESULTS,
    Topic.DELIVERY,
    Topic.ESCALATIONS,
    Topic.REVIEW,
    Topic.COMMANDS,
    Topic.NODES,
    Topic.ELIGIBILITY,
)

PROBE_INTERVAL_S: Final = 2.0
PROBE_TIMEOUT_S: Final = 2.0
SWEEP_INTERVAL_S: Final = 60.0
BATCH: Final = 500


class Follower:
    """Keeps a view up to date.

    Parameters
    ----------
    settings
        Connection to Kafka.
    codec
        Framing and Avro.
    view
        What is kept up to date.
    telemetry
        Counts what was read.
    clock
        Seconds that never run backwards.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        codec: Codec,
        view: LiveView,
        telemetry: Telemetry,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._codec = codec
        self._view = view
        self._telemetry = telemetry
        self._clock = clock
        self._stop = threading.Event()
        self._caught_up = threading.Event()
        self._assigned: set[tuple[str, int]] = set()
        self._behind: set[tuple[str, int]] = set()
        self._read: dict[tuple[str, int], int] = {}
        self._problem: str | None = "Kafka was not asked yet"
        self._thread = threading.Thread(target=self._run, name="live-view", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop reading."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def wait_caught_up(self, timeout_s: float | None = None) -> bool:
        """Wait until the end of every partition was reached once; whether it was."""
        return self._caught_up.wait(timeout_s)

    def has_read(self, ends: Mapping[tuple[str, int], int]) -> bool:
        """Whether every message before these offsets was taken in, by topic and partition."""
        return all(self._read.get(where, 0) >= end for where, end in ends.items())

    def missing(self) -> list[str]:
        """What keeps the view from being trusted, one sentence each; empty when nothing does."""
        found = []
        if self._problem is not None:
            found.append(self._problem)
        if not self._caught_up.is_set():
            found.append(f"the live view still reads the log ({len(self._behind)} partitions to go)")
        return found

    def _run(self) -> None:
        config = consumer_config(self._settings, "live-view", "scanstream.live-view", fetch_wait_ms=200)
        while not self._stop.is_set():
            consumer = new_consumer(config | {"enable.partition.eof": True})
            self._assigned = set()
            try:
                self._follow(consumer)
            except DestinationUnavailable as error:
                log.warning("the live view goes on with another consumer", extra=fields(reason=str(error)))
            except Exception:
                log.exception("the live view stopped")
                self._problem = "the live view stopped by an error: see the log and restart the API"
                return
            finally:
                consumer.close()

    def _follow(self, consumer: Consumer) -> None:
        probe_at = sweep_at = self._clock()
        while not self._stop.is_set():
            now = self._clock()
            if now >= probe_at:
                self._probe(consumer)
                probe_at = self._clock() + (PROBE_INTERVAL_S if self._problem is None else 0.1)
            if now >= sweep_at:
                self._view.sweep(datetime.now(UTC))
                sweep_at = now + SWEEP_INTERVAL_S
            if self._assigned and not self._behind and self._problem is None:
                self._caught_up.set()
            if not self._assigned:
                self._stop.wait(0.1)
                continue
            first = consumer.poll(0.1)
            if first is None:
                continue
            # consume() alone would wait for a full batch; after a first message it takes what is there
            for message in (first, *consumer.consume(BATCH, 0)):
                self._take(message)

    def _probe(self, consumer: Consumer) -> None:
        """Ask Kafka which partitions exist; read new ones from where they were read to, or all of them."""
        try:
            known = consumer.list_topics(timeout=PROBE_TIMEOUT_S).topics
        except KafkaException as error:
            self._problem = f"Kafka does not answer at {self._settings.bootstrap_servers} ({error.args[0].str()})"
            return
        absent = [topic for topic in TOPICS if topic not in known or known[topic].error is not None]
        found = {(topic, number) for topic in TOPICS if topic not in absent for number in known[topic].partitions}
        new = found - self._assigned
        if new:
            self._behind |= new
            self._assigned |= new
            consumer.incremental_assign(
                [TopicPartition(*where, self._read.get(where, OFFSET_BEGINNING)) for where in sorted(new)]
            )
        self._problem = f"topics are missing: {', '.join(absent)}; create them" if absent else None

    def _take(self, message: Message) -> None:
        where = (str(message.topic()), int(message.partition() or 0))
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self._behind.discard(where)
                # beyond the last message there may be marks of transactions
                self._read[where] = max(self._read.get(where, 0), int(message.offset() or 0))
            else:
                log.warning("partition cannot be read", extra=fields(topic=where[0], reason=error.str()))
            return
        self._telemetry.count("scanstream_messages_consumed_total", topic=where[0])
        self._apply(message, where)
        self._read[where] = int(message.offset() or 0) + 1

    def _apply(self, message: Message, where: tuple[str, int]) -> None:
        value = bytes_of(message.value())
        if value is None:  # a tombstone: what it was about is over, and the view is bounded
            return
        try:
            self._view.apply(self._codec.decode(value), Place(*where, int(message.offset() or 0)))
        except InvalidMessage as invalid:
            self._telemetry.count("scanstream_messages_failed_total", topic=where[0], error=type(invalid).__name__)
            log.warning(
                "message passed over",
                extra=fields(at=f"{where[0]}[{where[1]}]@{message.offset()}", reason=str(invalid)),
            )
