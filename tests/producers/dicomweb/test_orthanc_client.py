"""A real Orthanc as client of the gateway's DICOMweb service, with Cyrillic names, in both directions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import dcmread
from pydicom.uid import RLELossless

from producers.dicomweb.app import create_service_app
from producers.dicomweb.requests import Service
from producers.store import InstanceStore
from producers.telemetry import Telemetry
from tests.orthanc import orthanc_server
from tests.producers.dicomweb.conftest import Serving
from tests.producers.dicomweb.objects import STOW_TYPE, data_set_bytes, mr_image, part10, stow_body
from tests.tools import free_port

pytestmark = [pytest.mark.integration, pytest.mark.orthanc]

NAME = "Ґудзь^Євгенія^Їжаківна"


@dataclass(frozen=True)
class Pair:
    """A gateway, and an Orthanc that knows it as the DICOMweb server ``gateway``."""

    gateway: httpx.Client
    orthanc: httpx.Client

    def ask(self, command: str, body: Any) -> Any:
        response = self.orthanc.post(f"/dicom-web/servers/gateway/{command}", json=body)
        assert response.status_code == 200, response.text
        return response


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    store = InstanceStore.open(tmp_path / "store", lambda *_: (), Telemetry(), refuse_fraction=1.0)
    port = free_port()
    service = Service(store, f"http://127.0.0.1:{port}/dicom-web", allow_delete=True)
    servers = {"gateway": {"Url": f"{service.base_url}/", "HasDelete": True, "ChunkedTransfers": True}}
    options = {"DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False, "Servers": servers}}
    (tmp_path / "orthanc").mkdir()
    with (
        Serving(create_service_app(service, Telemetry()), port),
        orthanc_server(tmp_path / "orthanc", options=options) as server,
        httpx.Client(base_url=service.base_url, timeout=60) as gateway,
        httpx.Client(base_url=server.http, timeout=60) as orthanc,
    ):
        yield Pair(gateway, orthanc)
    store.close()


def test_orthanc_sends_a_study_by_stow(pair: Pair) -> None:
    images = [mr_image("1.2.3", "1.2.3.4", name=NAME) for _ in range(3)]
    images[1].compress(RLELossless, generate_instance_uid=False)
    for image in images:
        assert pair.orthanc.post("/instances", content=part10(image)).status_code == 200
    (study,) = pair.orthanc.get("/studies").json()
    pair.ask("stow", {"Resources": [study], "Synchronous": True})
    found = pair.gateway.get("/studies/1.2.3/metadata").json()
    assert {item["00100010"]["Value"][0]["Alphabetic"] for item in found} == {NAME}
    for image in images:
        url = f"/studies/1.2.3/series/1.2.3.4/instances/{image.SOPInstanceUID}"
        back = pair.gateway.get(url, headers={"Accept": "application/dicom; transfer-syntax=*"})
        assert data_set_bytes(back.content) == data_set_bytes(part10(image))
    # Once more is a success too.
    pair.ask("stow", {"Resources": [study], "Synchronous": True})


def stored_in_gateway(pair: Pair) -> dict[str, bytes]:
    images = [mr_image("1.2.3", "1.2.3.4", name=NAME), mr_image("1.2.3", "1.2.3.5", name=NAME)]
    images.append(mr_image("1.2.9", "1.2.9.1", name="Шевченко^Тарас", charset="ISO_IR 144"))
    files = {image.SOPInstanceUID: part10(image) for image in images}
    sent = pair.gateway.post(
        "/studies", content=stow_body(list(files.values())), headers={"Content-Type": STOW_TYPE}
    )
    assert sent.status_code == 200
    return files


def test_orthanc_searches(pair: Pair) -> None:
    stored_in_gateway(pair)
    found = pair.ask("qido", {"Uri": "/studies", "Arguments": {"PatientName": "Ґудзь*"}}).json()
    assert len(found) == 1
    texts = str(found)
    assert "Євгенія" in texts
    fuzzy = {"PatientName": "тарас", "fuzzymatching": "true"}
    assert len(pair.ask("qido", {"Uri": "/studies", "Arguments": fuzzy}).json()) == 1
    assert len(pair.ask("qido", {"Uri": "/studies/1.2.3/series", "Arguments": {}}).json()) == 2


def test_orthanc_gets_any_resource(pair: Pair) -> None:
    stored_in_gateway(pair)
    metadata = pair.ask("get", {"Uri": "/studies/1.2.9/metadata"}).json()
    assert metadata[0]["00100010"]["Value"] == [{"Alphabetic": "Шевченко^Тарас"}]
    image = pair.ask("get", {"Uri": "/studies/1.2.9/thumbnail", "HttpHeaders": {"Accept": "image/png"}})
    assert image.content.startswith(b"\x89PNG")


def test_orthanc_retrieves_studies_series_and_instances(pair: Pair) -> None:
    files = stored_in_gateway(pair)
    job = {"Resources": [{"Study": "1.2.3"}, {"Study": "1.2.9", "Series": "1.2.9.1"}], "Synchronous": True}
    pair.ask("retrieve", job)
    names = set()
    for identifier in pair.orthanc.get("/instances").json():
        file = pair.orthanc.get(f"/instances/{identifier}/file").content
        image = dcmread(BytesIO(file))
        names.add(str(image.PatientName))
        assert data_set_bytes(file) == data_set_bytes(files.pop(image.SOPInstanceUID))
    assert files == {}
    assert names == {NAME, "Шевченко^Тарас"}


def test_orthanc_deletes(pair: Pair) -> None:
    stored_in_gateway(pair)
    pair.ask("delete", {"Level": "Series", "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.5"})
    assert len(pair.gateway.get("/studies/1.2.3/series").json()) == 1
    pair.ask("delete", {"Level": "Study", "StudyInstanceUID": "1.2.9"})
    assert pair.gateway.get("/studies/1.2.9").status_code == 404
