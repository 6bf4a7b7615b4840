"""FHIR servers for tests, on free ports of 127.0.0.1: the facade, sekmet-fhir, and one that follows a script."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from dashboards.fhir.router import create_router
from dashboards.fhir.store import FhirStore
from tests.services import module, wait_for
from tests.tools import free_port


@contextmanager
def facade(directory: Path) -> Iterator[str]:
    """The facade of the API; yields its service base URL."""
    store = FhirStore(directory / "api" / "fhir.sqlite")
    app = FastAPI()
    app.include_router(create_router(store), prefix="/fhir")
    config = uvicorn.Config(app, host="127.0.0.1", port=free_port(), log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started, "the facade")
        yield f"http://127.0.0.1:{config.port}/fhir"
    finally:
        server.should_exit = True
        thread.join()
        store.close()


@contextmanager
def sekmet(directory: Path) -> Iterator[str]:
    """sekmet-fhir, a FHIR R4 server that validates what it is sent; yields its service base URL."""
    port = free_port()
    base = f"http://127.0.0.1:{port}/fhir"
    settings = {
        "base_url": base,
        "host": "127.0.0.1",
        "port": port,
        "data_dir": str(directory),
        "db_path": str(directory / "sekmet.db"),
        "simulator": {"enabled": False},
    }
    file = directory / "settings.yaml"
    file.write_text(json.dumps(settings))  # YAML is a superset of JSON
    log = directory / "sekmet.log"
    arguments = ("serve", "--config", str(file), "--host", "127.0.0.1", "--port", str(port))
    with module("sekmet.cli", *arguments, environment={}, log=log) as child:

        def up() -> bool:
            assert child.poll() is None, f"sekmet ended: {log.read_text()}"
            try:
                return httpx.get(f"{base}/metadata", timeout=5).status_code == 200
            except httpx.HTTPError:
                return False

        wait_for(up, f"sekmet on port {port}")
        yield base


@dataclass
class Script:
    """What the scripted server answers next, and what it was asked."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    silent: threading.Event | None = None
    #: Answer GET with 200 and an empty object, whatever the rest of the script says.
    probes_succeed: bool = False
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def answer(self, status: int, body: Any = None, **headers: str) -> None:
        """Answer this from now on; ``body`` is JSON or bytes."""
        self.status = status
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@contextmanager
def scripted() -> Iterator[tuple[str, Script]]:
    """A server that answers from its script; yields its URL and the script."""
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.asked.append((self.command, self.path, dict(self.headers), sent))
            if script.silent is not None:
                script.silent.wait(60)
            good = script.probes_succeed and self.command == "GET"
            status, body = (200, b"{}") if good else (script.status, script.body)
            self.send_response(status)
            for name, value in {**script.headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/fhir", script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
