"""A port that leads to a real Kafka of one node and can hide from clients that there is any broker.

What a stopping Kafka answers for some milliseconds, for as long as a test wants (librdkafka issue 5301).
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, Final

from schemas.settings import KafkaSettings
from tests.services import wait_for

METADATA: Final = 3
FIND_COORDINATOR: Final = 10

_HOST: Final = b"127.0.0.1"
#: Correlation id, tags, throttle time: where the number of brokers stands in Metadata v9 and later.
_COUNT_AT: Final = 9
#: Number of the node, host and its length, port, no rack, no tags.
_BROKER_SIZE: Final = 4 + 1 + len(_HOST) + 4 + 1 + 1


class ForgetfulSettings(KafkaSettings):
    """Whether librdkafka finds its broker again depends on which of its threads is first; these never do."""

    def librdkafka(self) -> dict[str, str | int | float | bool]:
        """See there."""
        return super().librdkafka() | {
            "metadata.recovery.strategy": "none",
            "topic.metadata.refresh.interval.ms": 100,
        }


class Nameless:
    """The port.

    Parameters
    ----------
    target
        Port of the real one.

    Attributes
    ----------
    settings
        That lead through this port.
    named
        Whether the broker is named.
    ignored
        Requests that are not answered (API keys).
    """

    def __init__(self, target: int) -> None:
        self.named = True
        self.ignored: set[int] = set()
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self._port = self._server.getsockname()[1]
        self.settings = ForgetfulSettings(bootstrap_servers=f"127.0.0.1:{self._port}")
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def forgotten(self) -> Iterator[None]:
        """In the block clients are told of no broker; it ends when all have closed what they had open."""
        wait_for(lambda: bool(self._open), "a client")
        before = set(self._open)
        self.named = False
        yield
        wait_for(lambda: not before & self._open, "clients that know no broker", timeout_s=30.0)
        self.named = True

    def close(self) -> None:
        """Close the port and all connections."""
        for one in (self._server, *self._open):
            _shut(one)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._server.accept()[0]
                kafka = socket.create_connection(("127.0.0.1", self._target))
                asked: dict[int, int] = {}
                self._open.add(client)
                threading.Thread(target=self._ask, args=(client, kafka, asked), daemon=True).start()
                threading.Thread(target=self._answer, args=(kafka, client, asked), daemon=True).start()

    def _ask(self, client: socket.socket, kafka: socket.socket, asked: dict[int, int]) -> None:
        with suppress(OSError), client.makefile("rb") as stream:
            for body in _frames(stream):
                key, _, number = struct.unpack(">hhi", body[:8])
                if key not in self.ignored:
                    asked[number] = key
                    kafka.sendall(struct.pack(">i", len(body)) + body)
        self._open.discard(client)
        _shut(client)
        _shut(kafka)

    def _answer(self, kafka: socket.socket, client: socket.socket, asked: dict[int, int]) -> None:
        with suppress(OSError), kafka.makefile("rb") as stream:
            for body in _frames(stream):
                key = asked.pop(struct.unpack(">i", body[:4])[0])
                told = body.replace(self._address(self._target), self._address(self._port))
                if key == METADATA and not self.named:
                    assert told[_COUNT_AT] == 1 + 1, "not a list of one broker"
                    told = told[:_COUNT_AT] + b"\1" + told[_COUNT_AT + 1 + _BROKER_SIZE :]
                client.sendall(struct.pack(">i", len(told)) + told)
        _shut(client)

    def _address(self, port: int) -> bytes:
        return _HOST + struct.pack(">i", port)


def _frames(stream: BinaryIO) -> Iterator[bytes]:
    while len(size := stream.read(4)) == 4:
        yield stream.read(struct.unpack(">i", size)[0])


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
