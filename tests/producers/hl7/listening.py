"""A listener in a process of its own, senders to it, and a reader of what it wrote."""

from __future__ import annotations

import random
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, KafkaError, TopicPartition

from producers.hl7.client import Listener, MllpConnection
from producers.hl7.read import Message
from producers.kafka import consumer_config, new_consumer
from producers.messages import bytes_of
from schemas.codec import Codec
from schemas.errors import InvalidMessage
from schemas.events import ClinicalContext
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from tests.services import module, wait_for
from tests.tools import free_port

SECRET = "a secret of the tests"


@dataclass
class Running:
    """A listener that runs."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def connect(self, tls: ssl.SSLContext | None = None) -> MllpConnection:
        return MllpConnection(Listener("127.0.0.1", self.port, "SCANSTREAM_ORU", tls), 60.0, 2**20)

    def send(self, *payloads: bytes) -> list[Message]:
        """Send all at once over one connection, and read as many answers."""
        connection = self.connect()
        try:
            return exchange(connection, *payloads)
        finally:
            connection.close()


def exchange(connection: MllpConnection, *payloads: bytes, timeout_s: float = 90.0) -> list[Message]:
    for payload in payloads:
        connection.send(payload)
    return received(connection, len(payloads), timeout_s)


def received(connection: MllpConnection, count: int, timeout_s: float = 90.0) -> list[Message]:
    # an answer echoes the character set of its message, and is in ASCII
    return [Message.parse(connection.receive(time.monotonic() + timeout_s).decode()) for _ in range(count)]


def codes(answers: list[Message]) -> list[str]:
    return [part.value(1) for answer in answers for part in answer.all("MSA")]


@contextmanager
def listening(kafka: KafkaSettings, folder: Path, node: str = "", **settings: str) -> Iterator[Running]:
    """A listener until the block ends; it takes messages when the block begins."""
    port = free_port()
    log = folder / f"hl7-{len(list(folder.glob('*.log')))}.log"
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "SCANSTREAM_NODE": node or f"hl7-{random.randrange(10**9)}",
        "SCANSTREAM_DATA_DIR": str(folder),
        "SCANSTREAM_PATIENT_KEY_SECRET": SECRET,
        "SCANSTREAM_HL7_PORT": str(port),
        **settings,
    }
    with module("producers.hl7.listener", environment=environment, log=log) as child:

        def up() -> bool:
            assert child.poll() is None, log.read_text()
            return '"ready"' in log.read_text()

        wait_for(up, "the listener")
        yield Running(child, port, log)


@dataclass(frozen=True)
class Written:
    """One message of clinical.context."""

    key: str
    context: ClinicalContext | None


def written(kafka: KafkaSettings) -> list[Written]:
    """All that is committed in clinical.context, in the order of each partition."""
    config = consumer_config(kafka, "test", f"test-{random.randrange(10**9)}", fetch_wait_ms=50)
    consumer = new_consumer(config | {"enable.partition.eof": True})
    found: list[Written] = []
    codec = Codec()
    try:
        topic = Topic.CONTEXT.value
        unread = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in unread])
        deadline = time.monotonic() + 60
        while unread:
            assert time.monotonic() < deadline
            for message in consumer.consume(500, 0.1):
                error = message.error()
                if error is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error.str()
                    unread.discard(message.partition() or 0)
                    continue
                name = (bytes_of(message.key()) or b"").decode("utf-8", "replace")
                value = bytes_of(message.value())
                try:
                    event = None if value is None else codec.decode(value)
                except InvalidMessage:
                    continue  # of another test
                if event is None or isinstance(event, ClinicalContext):
                    found.append(Written(name, event))
    finally:
        consumer.close()
    return found


def of_key(kafka: KafkaSettings, name: str, count: int) -> list[ClinicalContext | None]:
    """What is written under a key, or of an order, once there is so much of it.

    A commit is confirmed before it is visible.
    """
    found: list[ClinicalContext | None] = []

    def there() -> bool:
        found[:] = [one.context for one in written(kafka) if one.key in (name, f"hosp/{name}")]
        return len(found) >= count

    wait_for(there, f"{count} messages of one key")
    return found
