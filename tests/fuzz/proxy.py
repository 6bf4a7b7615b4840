"""A TCP port in front of another one that keeps what its clients say."""

from __future__ import annotations

import socket
import threading
from types import TracebackType

_CHUNK = 65536
_JOIN_S = 30.0


class Recorder:
    """Forwards connections to a port of 127.0.0.1 and keeps the bytes that come from the clients."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._heard: list[bytearray] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Recorder:
        self._threads[0].start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._listener.close()

    def longest(self) -> bytes:
        """What the client said that said most; call when all have gone."""
        for thread in self._threads[1:]:
            thread.join(_JOIN_S)
        return bytes(max(self._heard, key=len))

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            heard = bytearray()
            self._heard.append(heard)
            for source, sink, kept in ((client, server, heard), (server, client, None)):
                thread = threading.Thread(target=_forward, args=(source, sink, kept), daemon=True)
                self._threads.append(thread)
                thread.start()


def _forward(source: socket.socket, sink: socket.socket, kept: bytearray | None) -> None:
    try:
        while data := source.recv(_CHUNK):
            if kept is not None:
                kept += data
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return
