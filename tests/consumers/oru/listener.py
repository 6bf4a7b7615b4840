"""An HL7 listener that answers as it is told, and answers as a test writes them."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from producers.hl7.build import Field, message, segment
from producers.hl7.mllp import Deframer, frame
from producers.hl7.read import Message

#: What is sent back: bytes as they are, or ``None`` to close the connection.
Answers = Iterator[bytes | None]


def ack(code: str, control_id: str, *errors: str, text: str = "", said: str = "") -> bytes:
    """An acknowledgement, without its block."""
    header: dict[int, Field] = {9: ("ACK", "R01", "ACK"), 10: "A1", 11: "P", 12: "2.5.1", 18: "UNICODE UTF-8"}
    segments = [segment("MSH", header), segment("MSA", {1: code, 2: control_id, 3: text})]
    for error in errors:
        segments.append(segment("ERR", {2: ("PID", "1", "3"), 3: (error, "?", "HL70357"), 4: "E", 8: said}))
    return message(segments)


def accept(control_id: str) -> Answers:
    """The answer that every message hopes for."""
    yield frame(ack("AA", control_id))


class Scripted:
    """Listener on 127.0.0.1.

    Attributes
    ----------
    answers
        Makes the answers to a message from its control id.
    received
        Payloads, in order.
    connections
        How many were opened.
    """

    def __init__(self, tls: ssl.SSLContext | None, port: int) -> None:
        self.answers: Callable[[str], Answers] = accept
        self.received: list[bytes] = []
        self.connections = 0
        self._tls = tls
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self) -> None:
        """Close all connections."""
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.drop()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self._open.append(connection)
            with connection:
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        reader = Deframer(16 * 1024 * 1024)
        while data := connection.recv(65536):
            for payload in reader.feed(data):
                self.received.append(payload)
                for answer in self.answers(Message.of(payload).header.value(10)):
                    if answer is None:
                        return
                    connection.sendall(answer)


@contextmanager
def scripted(tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Scripted]:
    """A listener for the time of the block; port 0 is a free one."""
    listener = Scripted(tls, port)
    try:
        yield listener
    finally:
        listener.close()
