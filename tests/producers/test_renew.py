"""A publisher that could not begin anew begins anew at its next transaction: real Kafka, away for a while."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from producers.kafka import EventPublisher
from producers.telemetry import Telemetry
from producers.topic_admin import create_topics
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from tests.services import kafka_broker, wait_for
from tests.tools import free_port

pytestmark = pytest.mark.integration


def test_beginning_anew_is_tried_until_it_works(tmp_path: Path) -> None:
    directory = tmp_path / "kafka"
    directory.mkdir()
    with kafka_broker(directory) as servers:
        settings = KafkaSettings(bootstrap_servers=servers)
        create_topics(settings)
        publisher = EventPublisher(settings, Codec(), "/test/node/p", Telemetry(), "test.renew", "test.renew")
        publisher.start(60)
    with pytest.raises(DestinationUnavailable):
        publisher.renew(1.0)
    with kafka_broker(directory, int(servers.rpartition(":")[2])):

        def publishes() -> bool:
            try:
                with publisher.transaction() as transaction:
                    transaction.publish_raw(Topic.AUDIT, b"test", b"test", [])
            except DestinationUnavailable:
                return False
            return True

        wait_for(publishes, "a transaction after the broker's return")


def test_one_that_has_started_starts_again(kafka_settings: KafkaSettings) -> None:
    """As the HL7 listener, when what it does next at its start was in vain."""
    name = f"test.started.{uuid.uuid4().hex}"
    publisher = EventPublisher(kafka_settings, Codec(), "/test/node/p", Telemetry(), name, name)
    publisher.start(60)
    publisher.start(60)
    with publisher.transaction() as transaction:
        transaction.publish_raw(Topic.AUDIT, b"test", b"test", [])


@pytest.mark.parametrize("begin", [EventPublisher.start, EventPublisher.renew])
def test_a_client_that_still_registers_goes_on_and_is_replaced_after_a_while(
    begin: Callable[[EventPublisher, float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[EventPublisher] = []
    client = EventPublisher._client

    def counted(publisher: EventPublisher) -> object:
        made.append(publisher)
        return client(publisher)

    monkeypatch.setattr(EventPublisher, "_client", counted)
    away = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}")
    publisher = EventPublisher(away, Codec(), "/test/node/p", Telemetry(), "test.renew.away")
    clients = []
    for _ in range(5):
        with pytest.raises(DestinationUnavailable):
            begin(publisher, 0.1)
        clients.append(len(made))
    assert clients == [1, 1, 1, 2, 2]
