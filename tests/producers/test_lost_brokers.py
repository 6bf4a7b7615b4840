"""A consumer that was told of no broker at all says so; one whose brokers are away does not."""

from __future__ import annotations

import io
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
from confluent_kafka import KafkaException

from producers.kafka import consumer_config, new_consumer
from producers.lost_brokers import Brokers
from schemas.errors import DestinationUnavailable
from schemas.settings import KafkaSettings
from tests.services import wait_for

_API_VERSIONS, _METADATA, _UNSUPPORTED_VERSION, _LEADER_NOT_AVAILABLE = 18, 3, 35, 5


def _text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


class Broker:
    """As much of a broker as tells of brokers: ApiVersions v0 and Metadata v1 (Kafka protocol guide)."""

    def __init__(self) -> None:
        self.named = True  # whether it names itself among the brokers
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def _accept(self, server: socket.socket) -> None:
        try:
            while True:
                connection = server.accept()[0]
                self._connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
        except OSError:
            return

    def _serve(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        try:
            while size := stream.read(4):
                request = io.BytesIO(stream.read(struct.unpack(">i", size)[0]))
                key, version, number = struct.unpack(">hhi", request.read(8))
                if key not in (_API_VERSIONS, _METADATA):
                    break
                body = self._versions(version) if key == _API_VERSIONS else self._metadata()
                connection.sendall(struct.pack(">ii", len(body) + 4, number) + body)
        except OSError:
            return

    def _versions(self, asked: int) -> bytes:
        error = _UNSUPPORTED_VERSION if asked else 0
        return struct.pack(">hi", error, 2) + struct.pack(">6h", _API_VERSIONS, 0, 0, _METADATA, 1, 1)

    def _metadata(self) -> bytes:
        brokers = struct.pack(">i", 0)
        if self.named:
            brokers = struct.pack(">ii", 1, 1) + _text("127.0.0.1") + struct.pack(">ih", self.port, -1)
        error, leader = (0, 1) if self.named else (_LEADER_NOT_AVAILABLE, -1)
        topic = struct.pack(">h", 0) + _text("topic") + b"\0"
        partition = struct.pack(">ihiiii", 1, error, 0, leader, 0, 0)
        return brokers + struct.pack(">ii", -1, 1) + topic + partition

    def stop(self) -> None:
        """Answer nobody any more."""
        for one in (self._server, *self._connections):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def broker() -> Iterator[Broker]:
    made = Broker()
    yield made
    made.stop()


def _statistics(*sources: str) -> str:
    return json.dumps({"brokers": {str(place): {"source": source} for place, source in enumerate(sources)}})


def test_brokers_are_lost_when_there_is_none_twice_in_a_row() -> None:
    known = Brokers()
    for sources in (["configured"], ["learned", "logical"], ["logical"], ["learned"], ["logical", "internal"]):
        known(_statistics(*sources))
        assert not known.lost
    known(_statistics("logical"))
    assert known.lost


def test_a_consumer_that_was_told_of_no_broker_raises_where_it_polls(broker: Broker) -> None:
    settings = KafkaSettings(bootstrap_servers=f"127.0.0.1:{broker.port}")
    # with the default, it depends on which thread of librdkafka is first whether it finds the broker again
    config = consumer_config(settings, "test", "test") | {"metadata.recovery.strategy": "none"}
    with closing(new_consumer(config | {"statistics.interval.ms": 100})) as consumer:
        assert consumer.list_topics("topic", 10).brokers
        broker.named = False
        assert not consumer.list_topics("topic", 10).brokers
        broker.named = True
        with pytest.raises(KafkaException):
            consumer.list_topics("topic", 1)  # it would never ask again
        with pytest.raises(DestinationUnavailable, match="begin anew"):
            wait_for(lambda: consumer.poll(0.05) is not None, "the word that no broker is known", timeout_s=30.0)
        with pytest.raises(DestinationUnavailable, match="begin anew"):
            consumer.consume(10, 0.05)


def test_a_consumer_whose_broker_is_away_waits(broker: Broker) -> None:
    settings = KafkaSettings(bootstrap_servers=f"127.0.0.1:{broker.port}")
    config = consumer_config(settings, "test", "test") | {"statistics.interval.ms": 20}
    with closing(new_consumer(config)) as consumer:
        assert consumer.list_topics("topic", 10).brokers
        broker.stop()
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            assert consumer.poll(0.05) is None
