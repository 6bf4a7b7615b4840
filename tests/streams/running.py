"""The streams process as a real process, and what a subscriber of its topics sees."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen

from confluent_kafka import KafkaError, TopicPartition

from producers.kafka import EventPublisher, consumer_config, new_consumer
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.errors import InvalidMessage
from schemas.events import Event, StudyReady
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from tests.services import module, wait_for

CODEC = Codec()


@contextmanager
def processor(
    servers: str, log: Path, *, node: str, wait: bool = True, rules: Path | None = None
) -> Iterator[Popen[bytes]]:
    """``python -m streams.processor`` under the name of a node."""
    environment = {"KAFKA_BOOTSTRAP_SERVERS": servers, "SCANSTREAM_NODE": node}
    if rules is not None:
        environment["SCANSTREAM_STREAMS_RULES_FILE"] = str(rules)
    with module("streams.processor", environment=environment, log=log) as child:
        if wait:
            wait_for(lambda: _alive(child, log) and '"ready"' in log.read_text(), f"{node} to be ready")
        yield child


def _alive(child: Popen[bytes], log: Path) -> bool:
    assert child.poll() is None, f"the streams process ended: {log.read_text()}"
    return True


class Sender:
    """A gateway, as far as Kafka can tell."""

    def __init__(self, servers: str) -> None:
        settings = KafkaSettings(bootstrap_servers=servers)
        name = f"sender-{random.randrange(10**12)}"
        self._publisher = EventPublisher(settings, CODEC, f"/test/{name}", Telemetry(), name)
        self._publisher.start()

    def send(self, *events: Event) -> None:
        """Publish events of one study in one transaction."""
        with self._publisher.transaction() as transaction:
            for event in events:
                transaction.publish(Topic.INSTANCES, event.study_instance_uid, event)  # type: ignore[union-attr] # instances and hints have it

    def send_bytes(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        """Publish a message as it is."""
        with self._publisher.transaction() as transaction:
            transaction.publish_raw(topic, key, value, [("traceparent", b"00-0-0-00")])

    def send_to(self, topic: str, key: str, event: Event) -> None:
        """Publish an event to any topic."""
        self.send_bytes(topic, key.encode(), CODEC.encode(event))


class Seen:
    """Every committed event on some topics, from their beginning."""

    def __init__(self, servers: str, *topics: Topic) -> None:
        settings = KafkaSettings(bootstrap_servers=servers)
        self._consumer = new_consumer(consumer_config(settings, "test", f"test-{random.randrange(10**12)}"))
        self._consumer.assign(
            [
                TopicPartition(topic, partition, 0)
                for topic in topics
                for partition in self._consumer.list_topics(topic, 10).topics[topic].partitions
            ]
        )
        self.events: dict[str, list[Event]] = defaultdict(list)

    def __enter__(self) -> Seen:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def poll(self, seconds: float = 0.2) -> None:
        """Read what has come, by the study that it is about."""
        message = self._consumer.poll(seconds)
        while message is not None:
            error = message.error()
            if error is None:
                # other tests put what is no event on the shared log
                with suppress(InvalidMessage):
                    event = CODEC.decode(message.value())
                    self.events[getattr(event, "study_instance_uid", "") or ""].append(event)
            else:
                assert error.code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN), error
            message = self._consumer.poll(0)

    def of(self, study: str, kind: type[Event]) -> list[Event]:
        """Events of one kind about one study."""
        return [event for event in self.events[study] if isinstance(event, kind)]

    def studies(self, study: str) -> list[StudyReady]:
        """Revisions of one study."""
        return [event for event in self.events[study] if isinstance(event, StudyReady)]

    def wait_for(
        self, studies: Iterable[str], kind: type[Event], count: int = 1, timeout_s: float = 120.0
    ) -> None:
        """Wait until each study has so many events of a kind."""
        wanted = list(studies)

        def there() -> bool:
            self.poll()
            return all(len(self.of(study, kind)) >= count for study in wanted)

        wait_for(there, f"{count} {kind.__name__} of each of {len(wanted)} studies", timeout_s)
