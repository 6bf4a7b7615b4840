"""Around a worker under test: a gateway that holds images, tasks put in, and everything that comes out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from pydicom import Dataset

from producers.kafka import EventPublisher, consumer_config, new_consumer
from producers.messages import bytes_of, headers_of
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.events import CommandKind, InferenceResult, InferenceTask, TaskCommand, TaskState, TaskStatus
from schemas.headers import header
from schemas.settings import KafkaSettings
from schemas.topics import TASK_TOPICS, WORKER_GROUP, Topic, dlq_topic, retry_topic, spec_of
from tests.producers.dicomweb.objects import STOW_TYPE, part10, stow_body
from tests.services import module

OUTPUTS = (
    Topic.RESULTS.value,
    Topic.SHADOW.value,
    Topic.STATUS.value,
    Topic.PRIORS.value,
    Topic.NODES.value,
    retry_topic(WORKER_GROUP),
    dlq_topic(WORKER_GROUP),
)

PARTITIONS = spec_of(Topic.TASKS_P1).partitions

T = TypeVar("T")


@dataclass(frozen=True)
class Seen:
    """One committed message."""

    topic: str
    key: bytes | None
    event: Any
    value: bytes
    headers: list[tuple[str, bytes]]


@dataclass
class Watch:
    """Everything committed on the worker's output topics since the beginning of the test."""

    consumer: Consumer
    seen: list[Seen] = field(default_factory=list)

    def events(self, kind: type[T], task_id: str) -> list[T]:
        return [item.event for item in self.seen if isinstance(item.event, kind) and item.event.task_id == task_id]  # type: ignore[attr-defined] # of events about a task

    def all(self, kind: type[T]) -> list[T]:
        return [item.event for item in self.seen if isinstance(item.event, kind)]

    def states(self, task_id: str) -> list[TaskState]:
        return [item.state for item in self.events(TaskStatus, task_id)]

    def headers_on(self, topic: str, name: str) -> list[str | None]:
        return [header(item.headers, name) for item in self.seen if item.topic == topic]

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float = 120.0) -> Any:
        """Read until the condition holds; returns what it gave."""
        deadline = time.monotonic() + timeout_s
        while not (found := condition()):
            assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s for {what}; seen: {self.seen}"
            self.read(0.05)
        return found

    def result(self, task_id: str) -> InferenceResult:
        results: list[InferenceResult] = self.until(
            lambda: self.events(InferenceResult, task_id), f"the result of task {task_id}"
        )
        return results[0]

    def read(self, timeout_s: float) -> None:
        for message in self.consumer.consume(500, timeout_s):
            assert message.error() is None, message.error()
            value = message.value() or b""
            try:
                event: Any = Codec().decode(value)
            except Exception:  # noqa: BLE001 - a dead letter may be anything
                event = None
            self.seen.append(
                Seen(message.topic() or "", bytes_of(message.key()), event, value, headers_of(message))
            )


@contextmanager
def watch(settings: KafkaSettings) -> Iterator[Watch]:
    """Follow the output topics from their present end; no task of another test is left, before and after."""
    forget_tasks(settings)
    consumer = new_consumer(consumer_config(settings, "watch", "test.watch"))
    partitions = []
    for topic in OUTPUTS:
        for number in consumer.list_topics(topic, 30).topics[topic].partitions:
            partitions.append(TopicPartition(topic, number, end_of(consumer, TopicPartition(topic, number))))
    consumer.assign(partitions)
    try:
        yield Watch(consumer)
    finally:
        consumer.close()
        forget_tasks(settings)


def forget_tasks(settings: KafkaSettings) -> None:
    """Delete all tasks, so that a worker never meets those of another test: their gateway is gone."""
    reader = new_consumer(consumer_config(settings, "forget", "test.forget"))
    ends = [TopicPartition(topic, number) for topic in TASK_TOPICS.values() for number in range(PARTITIONS)]
    for entry in ends:
        entry.offset = end_of(reader, entry)
    reader.close()
    admin = AdminClient(dict(settings.librdkafka()))  # its futures end with it
    for done in admin.delete_records([entry for entry in ends if entry.offset > 0]).values():
        done.result(60)


def end_of(consumer: Consumer, partition: TopicPartition) -> int:
    """Offset after the last message; a topic that was just created may not have a leader yet."""
    for _ in range(100):
        try:
            return int(consumer.get_watermark_offsets(partition, timeout=30)[1])
        except KafkaException as exception:
            assert exception.args[0].code() == KafkaError.NOT_LEADER_FOR_PARTITION, exception
            time.sleep(0.1)
    raise AssertionError(f"{partition} has no leader")


def submit(settings: KafkaSettings, *tasks: InferenceTask) -> None:
    """Put tasks on the topic of their class, as the streams process does."""
    publisher = EventPublisher(settings, Codec(), "/test/tasks", Telemetry())
    for task in tasks:
        publisher.publish(TASK_TOPICS[task.priority], task.study_instance_uid, task)
    publisher.flush()


def command(settings: KafkaSettings, task: InferenceTask, kind: CommandKind, **given: Any) -> None:
    """Ask something of whoever holds a task, as the API does."""
    number = f"{task.task_id}-{kind}-{time.monotonic_ns()}"
    now = datetime.now(UTC)
    asked = TaskCommand(number, now, task.task_id, task.study_instance_uid, kind, "operator", **given)
    publisher = EventPublisher(settings, Codec(), "/test/commands", Telemetry())
    publisher.publish(Topic.COMMANDS, task.task_id, asked)
    publisher.flush()


def store(dicom_web: str, images: Sequence[Dataset]) -> None:
    """Put images into a gateway by STOW-RS."""
    body = stow_body([part10(image) for image in images])
    answer = httpx.post(f"{dicom_web}/studies", content=body, headers={"Content-Type": STOW_TYPE}, timeout=60)
    assert answer.status_code == 200, answer.text


@contextmanager
def worker(
    settings: KafkaSettings,
    directory: Path,
    node: str = "node-1",
    name: str = "streams.worker",
    log: str = "worker.log",
    **environment: str,
) -> Iterator[Any]:
    """``python -m streams.worker`` until the block ends."""
    given = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "SCANSTREAM_DATA_DIR": str(directory),
        "SCANSTREAM_NODE": node,
        **environment,
    }
    with module(name, environment=given, log=directory / log) as child:
        yield child
