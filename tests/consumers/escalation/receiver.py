"""A real HTTP server that people's systems stand behind: notes every notice, answers as it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from tests.services import wait_for


@dataclass(frozen=True)
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value

    @property
    def form(self) -> dict[str, list[str]]:
        return parse_qs(self.body.decode())

    @property
    def study(self) -> str:
        return str(self.json["study_instance_uid"])


class Receiver:
    """What came, and how each path answers: a status, or ``None`` to keep the caller waiting."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.answers: dict[str, int | None] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.bodies: dict[str, bytes] = {}
        self.url = ""
        self.released = threading.Event()

    def of(self, study: str) -> list[Got]:
        return [one for one in self.got if one.study == study]

    def wait(self, study: str, count: int, timeout_s: float = 60.0) -> list[Got]:
        wait_for(lambda: len(self.of(study)) >= count, f"{count} notices, came {len(self.of(study))}", timeout_s)
        return self.of(study)


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A server on a free port until the block ends."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            path = self.path.partition("?")[0].rpartition("/")[2]
            state.got.append(Got(path, headers, body, time.time()))
            status = state.answers.get(path, 204)
            if status is None:
                state.released.wait(60)
                self.close_connection = True
                return
            answer = state.bodies.get(path, b"")
            self.send_response(status)
            for name, value in state.headers.get(path, {}).items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("content-length", str(len(answer)))
            self.end_headers()
            if status != 204:
                self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
