"""The audit loop on a real Kafka: the store away for a while, and a successor that goes on where the rows end."""

from __future__ import annotations

import dataclasses
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consumers.audit.embedded import EmbeddedEngine
from consumers.audit.http_interface import WRITER, HttpInterface, create_app
from consumers.audit.store import AuditStore, connect
from consumers.audit.writer import AuditLoop
from producers.kafka import EventPublisher, consumer_config, new_consumer
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.events import AuditEvent
from schemas.settings import ClickHouseSettings, KafkaSettings
from schemas.topics import Topic
from tests.integration.stack import wait_for
from tests.schemas.test_contract import example
from tests.tools import free_port

pytestmark = pytest.mark.integration

PASSWORD = "of-this-test"


def publish(settings: KafkaSettings, study: str, count: int) -> None:
    publisher = EventPublisher(settings, Codec(), "/test/audit", Telemetry())
    event = example("AuditEvent")
    assert isinstance(event, AuditEvent)
    for number in range(count):
        one = dataclasses.replace(event, event_id=f"{study}-{number}", study_instance_uid=study)
        publisher.publish(Topic.AUDIT, f"{study}-{number}", one)
    publisher.flush()


@contextmanager
def looping(settings: KafkaSettings, port: int, instance: str) -> Iterator[threading.Thread]:
    """An audit loop in a thread, over a store at a port."""
    stop = threading.Event()
    consumer = new_consumer(consumer_config(settings, "audit", "scanstream.test.audit", instance_id=instance))
    store = AuditStore(connect(f"clickhouse://{WRITER}:{PASSWORD}@127.0.0.1:{port}/default"))
    store.migrate()
    loop = AuditLoop(consumer, store, Codec(), ClickHouseSettings(batch_interval_s=0.1), Telemetry(), stop)
    thread = threading.Thread(target=loop.run, args=(lambda: None,))
    thread.start()
    yield thread
    stop.set()
    thread.join(30)
    consumer.close()


def rows_of(port: int, study: str) -> tuple[int, int]:
    """Rows and different events of a study."""
    client = connect(f"http://127.0.0.1:{port}/default")
    sql = "SELECT count(), uniqExact(event_id) FROM events WHERE study_instance_uid = {study:String}"
    (row,) = client.query(sql, parameters={"study": study}).result_rows
    return int(row[0]), int(row[1])


def test_rows_wait_for_the_store_and_a_successor_doubles_nothing(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    engine, port, study = EmbeddedEngine(tmp_path / "audit"), free_port(), f"2.25.{uuid.uuid4().int}"
    app = create_app(engine, PASSWORD)
    interface = HttpInterface(app, "127.0.0.1", port)
    interface.start()
    with looping(kafka_settings, port, "first"):
        publish(kafka_settings, study, 20)
        wait_for(lambda: rows_of(port, study) == (20, 20), 60)
        interface.close()
        publish(kafka_settings, study + ".1", 20)
        interface = HttpInterface(app, "127.0.0.1", port)
        interface.start()
        wait_for(lambda: rows_of(port, study + ".1") == (20, 20), 60)
    # a successor under another name knows the offsets only from the store
    with looping(kafka_settings, port, "second"):
        publish(kafka_settings, study + ".2", 5)
        wait_for(lambda: rows_of(port, study + ".2") == (5, 5), 60)
    assert rows_of(port, study) == (20, 20)
    assert AuditStore(connect(f"http://127.0.0.1:{port}/default")).broken_links() == []
    interface.close()
    engine.close()
