"""A gateway's HTTP service with the real store, served by uvicorn on a free port."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp

from producers.dicomweb.app import create_service_app
from producers.dicomweb.http_protocol import BoundedHttp
from producers.dicomweb.requests import Service
from producers.store import InstanceStore, Received
from producers.telemetry import Telemetry
from tests.tools import free_port


@dataclass(frozen=True)
class Gateway:
    """A running service and what it stands on."""

    root_url: str
    store: InstanceStore
    telemetry: Telemetry
    received: list[Received]

    @property
    def dicom_web(self) -> str:
        return f"{self.root_url}/dicom-web"


class Serving:
    """uvicorn in a thread, stopped at the end of the block."""

    def __init__(self, app: ASGIApp, port: int, http: type[BoundedHttp] = BoundedHttp) -> None:
        config = uvicorn.Config(
            app, port=port, http=http, ws="none", log_level="warning", access_log=False, lifespan="off"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + 30
        while not self._server.started:
            assert time.monotonic() < deadline, "uvicorn did not start within 30 s"
            time.sleep(0.01)

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(30)


@contextmanager
def running_gateway(directory: Path) -> Iterator[Gateway]:
    """A gateway whose store is in a directory."""
    received: list[Received] = []
    telemetry = Telemetry()

    def announce(instance: Received, *_: object) -> tuple[()]:
        received.append(instance)
        return ()

    store = InstanceStore.open(directory / "store", announce, telemetry, refuse_fraction=1.0)
    port = free_port()
    service = Service(
        store, f"http://127.0.0.1:{port}/dicom-web", max_part_bytes=20_000_000, max_artifact_bytes=1_000_000
    )
    with Serving(create_service_app(service, telemetry), port):
        yield Gateway(f"http://127.0.0.1:{port}", store, telemetry, received)
    store.close()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running_gateway(tmp_path) as gateway:
        yield gateway


@pytest.fixture
def http(gateway: Gateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.dicom_web, timeout=30) as client:
        yield client
