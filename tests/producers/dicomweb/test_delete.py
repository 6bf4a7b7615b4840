"""DELETE: refused unless it is allowed, and then what was named is gone and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient

from producers.dicomweb.app import create_service_app
from producers.dicomweb.requests import Service
from producers.store import InstanceStore
from producers.telemetry import Telemetry
from tests.producers.dicomweb.conftest import Serving
from tests.producers.dicomweb.objects import STOW_TYPE, mr_image, part10, stow_body
from tests.tools import free_port


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[httpx.Client]:
    """Study 1.2.1 with series 1.2.1.1 (two instances) and 1.2.1.2 (one), and study 1.2.2; deletion is allowed."""
    store = InstanceStore.open(tmp_path / "store", lambda *_: (), Telemetry(), refuse_fraction=1.0)
    port = free_port()
    service = Service(store, f"http://127.0.0.1:{port}/dicom-web", allow_delete=True)
    images = [
        mr_image("1.2.1", "1.2.1.1"),
        mr_image("1.2.1", "1.2.1.1"),
        mr_image("1.2.1", "1.2.1.2", name="Шевченко^Тарас"),
        mr_image("1.2.2", "1.2.2.1"),
    ]
    with (
        Serving(create_service_app(service, Telemetry()), port),
        httpx.Client(base_url=service.base_url, timeout=30) as client,
    ):
        body = stow_body([part10(image) for image in images])
        assert client.post("/studies", content=body, headers={"Content-Type": STOW_TYPE}).status_code == 200
        yield client
    store.close()


def count(client: httpx.Client, path: str = "/instances") -> int:
    response = client.get(path)
    return len(response.json()) if response.content else 0


def test_a_study_is_gone_with_everything_below(archive: httpx.Client) -> None:
    response = archive.delete("/studies/1.2.1")
    assert (response.status_code, response.content) == (204, b"")
    assert archive.get("/studies/1.2.1").status_code == 404
    assert count(archive) == 1
    assert archive.delete("/studies/1.2.1").status_code == 404


def test_a_series_and_an_instance_with_dicomweb_client(archive: httpx.Client) -> None:
    client = DICOMwebClient(str(archive.base_url).rstrip("/"))
    client.delete_series("1.2.1", "1.2.1.2")
    assert count(archive, "/studies/1.2.1/instances") == 2
    instance = archive.get("/studies/1.2.1/instances").json()[0]["00080018"]["Value"][0]
    client.delete_instance("1.2.1", "1.2.1.1", instance)
    assert count(archive, "/studies/1.2.1/instances") == 1
    client.delete_study("1.2.1")
    assert count(archive) == 1


def test_what_was_deleted_can_be_stored_again(archive: httpx.Client) -> None:
    image = mr_image("1.2.9")
    file = part10(image)
    for _ in range(2):
        sent = archive.post("/studies", content=stow_body([file]), headers={"Content-Type": STOW_TYPE})
        assert sent.status_code == 200
        assert archive.delete("/studies/1.2.9").status_code == 204


@pytest.mark.parametrize(
    ("path", "status"), [("/studies/1.2.7", 404), ("/studies/1.2.1/series/1.2.2.1", 404), ("/studies/x'--", 400)]
)
def test_what_is_not_there(archive: httpx.Client, path: str, status: int) -> None:
    response = archive.delete(path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert count(archive) == 4


def test_refused_unless_it_is_allowed(http: httpx.Client) -> None:
    image = mr_image()
    http.post("/studies", content=stow_body([part10(image)]), headers={"Content-Type": STOW_TYPE})
    response = http.delete(f"/studies/{image.StudyInstanceUID}")
    assert response.status_code == 403
    assert "SCANSTREAM_GATEWAY_ALLOW_DELETE" in response.json()["detail"]
    assert http.get(f"/studies/{image.StudyInstanceUID}").status_code == 200
