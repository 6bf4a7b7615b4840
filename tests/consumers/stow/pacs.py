"""A scripted HTTP server on loopback: a PACS that misbehaves as told, over a real socket."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

JSON = "application/dicom+json"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Misbehave(Exception):
    """Do something to the socket instead of answering."""

    def __init__(self, action: Callable[[socket.socket], None]) -> None:
        super().__init__()
        self.action = action


Script = Callable[[Request], Answer]


@dataclass
class ScriptedPacs:
    url: str
    script: Script
    reads_bodies: bool = True
    requests: list[Request] = field(default_factory=list)

    def posts(self) -> list[Request]:
        return [request for request in self.requests if request.method == "POST"]


def stored(*uids: str, failed: dict[str, int] | None = None, warnings: dict[str, int] | None = None) -> bytes:
    """Body of a Store Instances Response."""

    def item(uid: str, reasons: dict[str, int] | None, tag: str) -> dict[str, Any]:
        element: dict[str, Any] = {"00081155": {"vr": "UI", "Value": [uid]}}
        if reasons and uid in reasons:
            element[tag] = {"vr": "US", "Value": [reasons[uid]]}
        return element

    document: dict[str, Any] = {
        "00081199": {"vr": "SQ", "Value": [item(uid, warnings, "00081196") for uid in uids]}
    }
    document["00081198"] = {"vr": "SQ", "Value": [item(uid, failed, "00081197") for uid in failed or {}]}
    return json.dumps(document).encode()


def found(*uids: str) -> Answer:
    """Answer of a QIDO-RS search for instances."""
    body = json.dumps([{"00080018": {"vr": "UI", "Value": [uid]}} for uid in uids]).encode()
    return Answer(200 if uids else 204, body if uids else b"", {"Content-Type": JSON})


def given(data: bytes) -> Answer:
    """Answer of WADO-RS with one instance."""
    body = b"--x\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n--x--\r\n"
    return Answer(200, body, {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'})


class Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is part of many tests."""


@contextmanager
def scripted_pacs(tls: ssl.SSLContext | None = None) -> Iterator[ScriptedPacs]:
    """Answer on a free port as the script says, with TLS when there is a context."""
    pacs = ScriptedPacs("", lambda _: Answer(500))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if pacs.reads_bodies else b""
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body)
            pacs.requests.append(request)
            try:
                answer = pacs.script(request)
            except Misbehave as misbehave:
                misbehave.action(self.connection)
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)
            if not pacs.reads_bodies:
                # as nginx does: a connection that is closed over unread data takes the answer with it
                self.connection.shutdown(socket.SHUT_WR)
                while self.connection.recv(1 << 20):
                    pass
                self.close_connection = True

        do_GET = do_POST = handle_any

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    pacs.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}/dicom-web"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield pacs
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def pacs() -> Iterator[ScriptedPacs]:
    with scripted_pacs() as scripted:
        yield scripted
