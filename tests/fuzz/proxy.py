"""A TCP port in front of another one that keeps what its clients say."""

from __future__ import annotations

import socket
import threading
from types import TracebackType

_CHUNK = 65536
_JOIN_S = 60.0


class Recorder:
    """Forwards connections to a port of 127.0.0.1 and keeps the bytes that come from the clients."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._heard: list[bytearray] = []
        self._talks: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Recorder:
        self._accepting.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        # Closing alone does not wake up who waits in accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(_JOIN_S)
        self._listener.close()
        self.heard()

    def heard(self) -> list[bytes]:
        """What each client said; waits until all have gone."""
        for talk in self._talks:
            talk.join(_JOIN_S)
        return [bytes(said) for said in self._heard]

    def longest(self) -> bytes:
        """What the client said that said most."""
        return max(self.heard(), key=len)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._heard.append(bytearray())
            talk = threading.Thread(target=self._talk, args=(client, self._heard[-1]), daemon=True)
            self._talks.append(talk)
            talk.start()

    def _talk(self, client: socket.socket, heard: bytearray) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            back = threading.Thread(target=_forward, args=(server, client, None), daemon=True)
            back.start()
            _forward(client, server, heard)
            back.join(_JOIN_S)


def _forward(source: socket.socket, sink: socket.socket, kept: bytearray | None) -> None:
    try:
        while data := source.recv(_CHUNK):
            if kept is not None:
                kept += data
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return
