"""The findings process as a real process, results for it, and what it wrote."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from subprocess import Popen

import pytest
from confluent_kafka import TopicPartition

from producers.kafka import EventPublisher, consumer_config, new_consumer
from producers.messages import headers_of
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable
from schemas.events import InferenceResult
from schemas.headers import header
from schemas.ids import event_id
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from tests.consumers.results import result_with_findings
from tests.services import module, wait_for

CODEC = Codec()


@contextmanager
def findings(servers: str, directory: Path, node: str, wait: bool = True) -> Iterator[Popen[bytes]]:
    """``python -m streams.findings`` under the name of a node."""
    log = directory / f"{node}.log"
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "SCANSTREAM_NODE": node,
        "SCANSTREAM_DATA_DIR": str(directory / node),
    }
    with module("streams.findings", environment=environment, log=log) as child:

        def ready() -> bool:
            assert child.poll() is None, f"the findings process ended: {log.read_text()}"
            return '"ready"' in log.read_text()

        if wait:
            wait_for(ready, f"{node} to be ready")
        yield child


def result(study: str, number: int = 1) -> InferenceResult:
    """A result about a study with one finding; another number is another task."""
    base = result_with_findings(study)
    task = event_id("task", study, number)
    finding = replace(base.findings[0], event_id=event_id("finding-event", task), task_id=task, revision=number)
    return replace(base, event_id=event_id("result", task), task_id=task, revision=number, findings=(finding,))


class Worker:
    """An inference worker, as far as Kafka can tell: results in transactions."""

    def __init__(self, servers: str) -> None:
        name = f"worker-{random.randrange(10**12)}"
        settings = KafkaSettings(bootstrap_servers=servers)
        self._publisher = EventPublisher(settings, CODEC, f"/test/{name}", Telemetry(), name)
        self._publisher.start()

    def finish(self, *results: InferenceResult) -> None:
        """Write results in one transaction."""
        with self._publisher.transaction() as transaction:
            for one in results:
                transaction.publish(Topic.RESULTS, one.study_instance_uid, one)

    def fail(self, *results: InferenceResult) -> None:
        """Write results to the broker, and then end the transaction without them."""

        with pytest.raises(RuntimeError, match="on purpose"), self._publisher.transaction() as transaction:
            for one in results:
                transaction.publish(Topic.RESULTS, one.study_instance_uid, one)
            self._publisher.flush()
            raise RuntimeError("on purpose")

    def bytes(self, value: bytes) -> None:
        """Write what is no result."""
        with self._publisher.transaction() as transaction:
            transaction.publish_raw(Topic.RESULTS, b"1.2.3", value, [])


class Written:
    """Everything on a topic in its order: event ids by key, and the partitions of each key."""

    def __init__(self, servers: str, topic: Topic, uncommitted: bool = False) -> None:
        self._config = consumer_config(
            KafkaSettings(bootstrap_servers=servers), "test", f"test-{random.randrange(10**12)}"
        )
        if uncommitted:
            self._config["isolation.level"] = "read_uncommitted"
        self._topic = topic
        self._begin()

    def _begin(self) -> None:
        self._consumer = new_consumer(self._config)
        self._consumer.assign(
            [
                TopicPartition(self._topic, partition, 0)
                for partition in self._consumer.list_topics(self._topic, 10).topics[self._topic].partitions
            ]
        )
        self.ids: dict[str, list[str]] = defaultdict(list)
        self.partitions: dict[str, set[int]] = defaultdict(set)

    def poll(self) -> None:
        """Read what has come; all of it again with another consumer where the one before lost its brokers."""
        try:
            self._read()
        except DestinationUnavailable:
            self.close()
            self._begin()

    def _read(self) -> None:
        message = self._consumer.poll(0.2)
        while message is not None:
            if message.error() is None:
                key = (message.key() or b"").decode()
                self.ids[key].append(header(headers_of(message), "ce_id") or "")
                self.partitions[key].add(message.partition() or 0)
            message = self._consumer.poll(0)

    def wait_for(self, *results: InferenceResult, timeout_s: float = 120.0) -> None:
        """Wait until the findings of all these results are there."""
        wanted = [(one.study_instance_uid, finding.event_id) for one in results for finding in one.findings]

        def there() -> bool:
            self.poll()
            return all(identifier in self.ids[study] for study, identifier in wanted)

        wait_for(there, f"{len(wanted)} findings", timeout_s)

    def close(self) -> None:
        """Leave."""
        self._consumer.close()
