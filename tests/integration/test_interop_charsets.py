"""Names in Cyrillic as consoles label them, or do not: stored byte for byte, and found by QIDO-RS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import dcmread

from producers.dicomweb.app import create_app
from schemas.settings import GatewaySettings
from tests.integration.samples import named_file
from tests.integration.test_interop_dcmtk import send
from tests.integration.wire import stored
from tests.producers.dicomweb.conftest import Serving
from tests.producers.listener import listener as running
from tests.tools import free_port

pytestmark = [pytest.mark.integration, pytest.mark.dcmtk]

NAME = "Шевченко^Оксана"


@pytest.mark.parametrize(
    ("codec", "charset", "name"),
    [
        ("utf-8", "ISO_IR 192", "Ґудзь^Євген"),
        ("iso8859-5", "ISO_IR 144", NAME),
        ("cp1251", None, NAME),
    ],
)
def test_a_name_is_kept_and_found(tmp_path: Path, codec: str, charset: str | None, name: str) -> None:
    path = named_file(tmp_path, name.encode(codec), charset)
    image = dcmread(path)
    port = free_port()
    with running(tmp_path / "node") as listener:
        sent = send(listener, "storescu", "-xe", path)
        assert stored(listener) == sent
        assert name.encode(codec) in sent[str(image.SOPInstanceUID)]
        settings = GatewaySettings(http_port=port)
        with Serving(create_app(listener.store, settings, listener.telemetry), port):
            (by_id,) = found(port, PatientID=str(image.PatientID))
            assert by_id["0020000D"]["Value"] == [str(image.StudyInstanceUID)]
            if charset is None:
                # Nobody says what the bytes mean; they are shown as they would be without a label.
                shown = name.encode(codec).decode("latin-1")
                assert by_id["00100010"]["Value"] == [{"Alphabetic": shown}]
                return
            assert by_id["00100010"]["Value"] == [{"Alphabetic": name}]
            assert found(port, PatientName=f"{name[:4]}*") == [by_id]
            assert found(port, PatientName=name) == [by_id]


def found(port: int, **keys: str) -> list[dict[str, Any]]:
    """Studies that QIDO-RS finds."""
    answer = httpx.get(f"http://127.0.0.1:{port}/dicom-web/studies", params=keys)
    assert answer.status_code in (200, 204), answer.text
    return list(answer.json()) if answer.status_code == 200 else []
