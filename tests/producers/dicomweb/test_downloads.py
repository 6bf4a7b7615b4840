"""Clients that read slowly or go away: memory is bounded by their number, and their places come back."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from producers.dicomweb.app import create_service_app
from producers.dicomweb.requests import Service
from producers.store import InstanceStore
from producers.telemetry import Telemetry
from tests.producers.dicomweb.conftest import Serving
from tests.producers.dicomweb.objects import STOW_TYPE, mr_image, part10, stow_body
from tests.services import wait_for
from tests.tools import free_port


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[httpx.Client]:
    """A service with room for one retrieval, and a study of 30 MB in it."""
    store = InstanceStore.open(tmp_path / "store", lambda *_: (), Telemetry(), refuse_fraction=1.0)
    port = free_port()
    service = Service(store, f"http://127.0.0.1:{port}/dicom-web", max_downloads=1, patience_s=5.0)
    image = mr_image("1.2.3")
    image.Rows = image.Columns = 4000
    image.PixelData = bytes(4000 * 4000 * 2)
    with (
        Serving(create_service_app(service, Telemetry()), port),
        httpx.Client(base_url=service.base_url, timeout=60) as client,
    ):
        body = stow_body([part10(image)])
        assert client.post("/studies", content=body, headers={"Content-Type": STOW_TYPE}).status_code == 200
        yield client
    store.close()


def test_one_too_many_is_asked_to_come_again(narrow: httpx.Client) -> None:
    address = (str(narrow.base_url.host), int(narrow.base_url.port or 80))
    with socket.create_connection(address, timeout=60) as slow:
        slow.sendall(b"GET /dicom-web/studies/1.2.3 HTTP/1.1\r\nHost: gateway\r\n\r\n")
        assert slow.recv(100).startswith(b"HTTP/1.1 200")
        refused = narrow.get("/studies/1.2.3")
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert narrow.head("/studies/1.2.3").status_code == 200
    wait_for(lambda: narrow.get("/studies/1.2.3").status_code == 200, "the place of the client that went away")


def test_a_client_that_takes_nothing_loses_its_place(narrow: httpx.Client) -> None:
    address = (str(narrow.base_url.host), int(narrow.base_url.port or 80))
    with socket.create_connection(address, timeout=60) as stalled:
        stalled.sendall(b"GET /dicom-web/studies/1.2.3 HTTP/1.1\r\nHost: gateway\r\n\r\n")
        assert stalled.recv(100).startswith(b"HTTP/1.1 200")
        wait_for(lambda: narrow.get("/studies/1.2.3").status_code == 200, "the place of the client that stalls")
