"""A requester's web server on a free port of 127.0.0.1, that answers as it is told and remembers what came."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from tests.producers.certificates import Certificate


@dataclass(frozen=True)
class Reply:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes | None = None
    wait: threading.Event | None = None
    drip: bool = False


@dataclass(frozen=True)
class Came:
    path: str
    headers: dict[str, str]
    body: bytes


Script = Callable[[Came], Reply]


@dataclass
class Requester:
    port: int
    came: list[Came] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    script: ClassVar[Script]
    requester: ClassVar[Requester]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        came = Came(self.path, dict(self.headers), body)
        self.requester.came.append(came)
        reply = type(self).script(came)
        with suppress(OSError):
            while reply.drip and reply.wait is not None and not reply.wait.wait(0.05):
                self.wfile.write(b"H")
            if reply.wait is not None:
                reply.wait.wait(60)
            if reply.raw is not None:
                self.wfile.write(reply.raw)
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

    def log_message(self, *_: object) -> None:
        """Nothing: the test says what went wrong."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """A client that breaks off is what some tests are about."""


@contextmanager
def requester(script: Script | None = None, shows: Certificate | None = None) -> Iterator[Requester]:
    """Serve until the block ends, with TLS where it shows a certificate."""
    made = Requester(0)
    attributes = {"script": staticmethod(script or (lambda _: Reply())), "requester": made}
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), attributes))
    made.port = server.server_port
    if shows is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(shows.certificate, shows.key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()
