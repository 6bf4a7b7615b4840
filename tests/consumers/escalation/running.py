"""The real writer process against a real Kafka, and what it leaves on the log."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import TopicPartition

from consumers.escalation.routes import Routes
from producers.kafka import EventPublisher, consumer_config, new_consumer
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.events import EscalationStage, EscalationStep, Event
from schemas.settings import KafkaSettings
from schemas.topics import WRITER_GROUPS, Topic, spec_of
from tests.services import module, wait_for

SECRET = "of sixteen characters and more"
TOPIC_OF = {
    "InferenceResult": Topic.RESULTS,
    "EscalationAcknowledgement": Topic.ACKNOWLEDGEMENTS,
    "Adjudication": Topic.REVIEW,
}


def publish(kafka: KafkaSettings, *events: Event) -> None:
    """Write events under their keys, as their producers do."""
    publisher = EventPublisher(kafka, Codec(), "/test/escalation", Telemetry())
    for event in events:
        publisher.publish(TOPIC_OF[type(event).__name__], event.study_instance_uid, event)  # type: ignore[union-attr] # all three have it
    publisher.flush()


@contextmanager
def writer(
    kafka: KafkaSettings, routes: Routes, folder: Path, node: str = "esc-a", **settings: str
) -> Iterator[subprocess.Popen[bytes]]:
    """The writer until the block ends; it has joined its group when the block begins."""
    file = folder / f"routes-{node}.yaml"
    file.write_text(json.dumps(routes.model_dump(mode="json", exclude_none=True)))  # JSON is YAML
    log = folder / f"{node}-{len(list(folder.glob('*.log')))}.log"
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "SCANSTREAM_NODE": node,
        "SCANSTREAM_DATA_DIR": str(folder),
        "SCANSTREAM_ESCALATION_ROUTES_FILE": str(file),
        "SCANSTREAM_ESCALATION_LINK_SECRET": SECRET,
        **settings,
    }
    with module("consumers.writer", "escalation", environment=environment, log=log) as child:

        def up() -> bool:
            assert child.poll() is None, log.read_text()
            return '"ready"' in log.read_text()

        wait_for(up, "the writer")
        yield child


class Steps:
    """Everything on the topic of steps, of one study at a time."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._consumer = new_consumer(consumer_config(kafka, "steps", "test-steps", fetch_wait_ms=20))
        topic = Topic.ESCALATIONS.value
        self._consumer.assign([TopicPartition(topic, n, 0) for n in range(spec_of(Topic.ESCALATIONS).partitions)])
        self._codec = Codec()
        self.read: list[tuple[int, EscalationStep]] = []

    def close(self) -> None:
        self._consumer.close()

    def of(self, study: str) -> list[EscalationStep]:
        while (message := self._consumer.poll(0.05)) is not None:
            if message.error() is None and message.value() is not None:
                event = self._codec.decode(bytes(message.value() or b""))
                assert isinstance(event, EscalationStep)
                self.read.append((message.partition() or 0, event))
        return [step for _, step in self.read if step.study_instance_uid == study]

    def stages(self, study: str) -> list[EscalationStage]:
        return [step.stage for step in self.of(study)]

    def wait(self, study: str, stage: EscalationStage, count: int = 1, timeout_s: float = 60.0) -> EscalationStep:
        wait_for(lambda: self.stages(study).count(stage) >= count, f"{stage} of an alarm", timeout_s)
        return [step for step in self.of(study) if step.stage is stage][count - 1]


def rewind(kafka: KafkaSettings, node: str = "esc-a") -> None:
    """Set every committed offset of the group back to 0, in the place of a writer that has ended."""
    group = WRITER_GROUPS["escalation"]
    consumer = new_consumer(consumer_config(kafka, node, group, instance_id=f"{node}.writer-escalation"))
    topics = [Topic.RESULTS, Topic.ACKNOWLEDGEMENTS, Topic.REVIEW]
    consumer.subscribe([topic.value for topic in topics])

    def all_ours() -> bool:
        consumer.poll(0.1)
        return len(consumer.assignment()) == sum(spec_of(topic).partitions for topic in topics)

    wait_for(all_ours, "all partitions")
    consumer.commit(
        offsets=[TopicPartition(place.topic, place.partition, 0) for place in consumer.assignment()],
        asynchronous=False,
    )
    consumer.close()
