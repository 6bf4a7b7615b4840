"""A writer with a scripted destination on a real Kafka, and what it leaves there."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from consumers.delivery.limits import Limits
from consumers.delivery.service import serve
from consumers.destination import Destination
from producers.kafka import EventPublisher, consumer_config, new_consumer
from producers.process import Process
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.events import Adjudication, DeliveryOutcome, DeliveryStatus, InferenceResult, ObjectOutcome
from schemas.headers import cloud_event
from schemas.settings import KafkaSettings, ProcessSettings
from schemas.topics import Priority, Topic, dlq_topic, retry_topic
from tests.consumers.results import result_with_findings
from tests.services import wait_for

#: Retries without long waits; otherwise the defaults.
QUICK = Limits(retry_delays_s=(0.3, 0.3, 0.3), probe_first_s=0.05, probe_longest_s=0.2)

STORED = (ObjectOutcome("1.2", "1.3", DeliveryStatus.STORED, status_code=200),)


def fresh_study() -> str:
    return f"2.25.{uuid.uuid4().int}"


def result_of(study: str, revision: int = 1, priority: Priority = Priority.P3_NORMAL) -> InferenceResult:
    result = result_with_findings(study, priority)
    return replace(result, revision=revision, event_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{study}/{revision}")))


@dataclass
class Scripted:
    """A destination that does what it is told, and remembers what it was asked."""

    name: str
    script: Callable[[InferenceResult], tuple[ObjectOutcome, ...]] = lambda _: STORED
    prober: Callable[[], None] = lambda: None
    delivered: list[tuple[str, int]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    probes: int = 0
    wants_failures: bool = False

    def deliver(self, result: InferenceResult) -> tuple[ObjectOutcome, ...]:
        started = time.time()
        objects = self.script(result)
        self.times.append(started)
        self.delivered.append((result.study_instance_uid, result.revision))
        return objects

    def probe(self) -> None:
        self.probes += 1
        self.prober()


@dataclass
class Reviewed(Scripted):
    """A destination that is also told of verdicts, and remembers them as results of revision -1, -2, …"""

    def review(self, adjudication: Adjudication) -> tuple[ObjectOutcome, ...]:
        assert adjudication.result is not None
        self.delivered.append((adjudication.study_instance_uid, -adjudication.result.revision))
        return STORED


@dataclass
class Bench:
    """One consumer group with its topics on a shared Kafka; begins at the present end of ``inference.results``."""

    settings: KafkaSettings
    group: str = field(default_factory=lambda: f"test.writer.{uuid.uuid4().hex[:12]}")
    name: str = ""

    def __post_init__(self) -> None:
        admin = AdminClient(dict(self.settings.librdkafka()))
        for future in admin.create_topics(
            [NewTopic(name, 1, 1) for name in (retry_topic(self.group), dlq_topic(self.group))]
        ).values():
            with suppress(KafkaException):  # the topics of a real writer are there already
                future.result(30)
        self.name = self.name or f"scripted-{self.group[-12:]}"
        self._outcomes_from = self._ends(Topic.DELIVERY)
        config = consumer_config(self.settings, "bench", self.group)
        consumer = new_consumer(config)
        consumer.commit(offsets=self._ends(Topic.RESULTS) + self._ends(Topic.REVIEW), asynchronous=False)
        consumer.close()
        self._publisher = EventPublisher(self.settings, Codec(), "/test/node/bench", Telemetry())

    def send(self, *results: InferenceResult) -> None:
        for result in results:
            self._publisher.publish(Topic.RESULTS, result.study_instance_uid, result)
        self._publisher.flush()

    def judge(self, *verdicts: Adjudication) -> None:
        for verdict in verdicts:
            self._publisher.publish(Topic.REVIEW, verdict.study_instance_uid, verdict)
        self._publisher.flush()

    def send_bytes(self, value: bytes) -> None:
        told = cloud_event(result_of(fresh_study()), "/test")
        self._publisher.publish_raw(Topic.RESULTS, b"key", value, told)
        self._publisher.flush()

    def outcomes(self) -> list[DeliveryOutcome]:
        """Every committed outcome of this bench's destination, oldest first."""
        decoded = [Codec().decode(_value(message)) for message in self._read(self._outcomes_from)]
        ours = [one for one in decoded if isinstance(one, DeliveryOutcome) and one.destination == self.name]
        return sorted(ours, key=lambda outcome: outcome.occurred_at)

    def dead_letters(self) -> list[Message]:
        """Every committed dead letter; a commit that was acknowledged a moment ago is waited for."""
        place = TopicPartition(dlq_topic(self.group), 0, 0)
        wait_for(lambda: not self._commits_under_way(place), "commits")
        return self._read([place])

    def committed(self) -> int:
        """Sum of the committed offsets of the group on ``inference.results``."""
        consumer = new_consumer(consumer_config(self.settings, "bench", self.group))
        ends = self._ends(Topic.RESULTS)
        try:
            positions = consumer.committed([TopicPartition(one.topic, one.partition) for one in ends], timeout=30)
            return sum(position.offset for position in positions)
        finally:
            consumer.close()

    @contextmanager
    def writer(self, destination: Destination, limits: Limits = QUICK, place: str = "1") -> Iterator[Process]:
        """The runtime in a thread of this process; what ended it is raised at the end of the block."""
        process = Process(f"writer-{self.name}", ProcessSettings(node=f"{self.group}.{place}"))
        failed: list[BaseException] = []

        def body() -> None:
            try:
                serve(process, self.group, destination, limits)
            except Exception as error:  # noqa: BLE001 - raised again in the test's own thread
                failed.append(error)
                process.stop.set()

        thread = threading.Thread(target=body)
        thread.start()
        try:
            yield process
        finally:
            process.stop.set()
            thread.join(60)
            assert not thread.is_alive()
        if failed:
            raise failed[0]

    def wait_for_outcomes(self, count: int) -> list[DeliveryOutcome]:
        wait_for(lambda: len(self.outcomes()) >= count, f"{count} outcomes")
        return self.outcomes()

    def _commits_under_way(self, place: TopicPartition) -> bool:
        """Whether something is written to a partition that readers of committed messages do not see yet.

        Kafka acknowledges a commit before it has marked the partitions (KIP-98).
        """
        ends = []
        for isolation in ("read_committed", "read_uncommitted"):
            config = consumer_config(self.settings, "bench", f"{self.group}.ends")
            consumer = new_consumer(config | {"isolation.level": isolation})
            try:
                ends.append(_end(consumer, place.topic, place.partition))
            finally:
                consumer.close()
        return ends[0] < ends[1]

    def _ends(self, topic: str) -> list[TopicPartition]:
        consumer = new_consumer(consumer_config(self.settings, "bench", f"{self.group}.ends"))
        try:
            found = consumer.list_topics(topic, timeout=30).topics[topic].partitions
            return [TopicPartition(topic, partition, _end(consumer, topic, partition)) for partition in found]
        finally:
            consumer.close()

    def _read(self, starts: list[TopicPartition]) -> list[Message]:
        config = consumer_config(self.settings, "bench", f"{self.group}.reader", fetch_wait_ms=20)
        consumer: Consumer = new_consumer(config | {"enable.partition.eof": True})
        messages, open_ends = [], len(starts)
        try:
            consumer.assign([TopicPartition(one.topic, one.partition, one.offset) for one in starts])
            while open_ends:
                message = consumer.poll(30)
                assert message is not None
                if message.error() is not None:
                    open_ends -= 1
                else:
                    messages.append(message)
            return messages
        finally:
            consumer.close()


def _end(consumer: Consumer, topic: str, partition: int) -> int:
    """Offset after the last message; a topic that was just created may have no leader yet."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return int(consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)[1])
        except KafkaException:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def _value(message: Message) -> bytes | None:
    value = message.value()
    return value.encode() if isinstance(value, str) else value
