"""Orthanc as the sender: what it says is what is stored, byte for byte."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from pydicom import dcmread

from schemas.events import ArrivalHint, InstanceStored
from tests.fuzz.proxy import Recorder
from tests.integration.samples import ENCODERS, FILES, encoded_file
from tests.integration.wire import data_sets, stored
from tests.orthanc import orthanc_server
from tests.producers.listener import listener as running
from tests.services import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.orthanc, pytest.mark.dcmtk]


def test_orthanc_sends_every_transfer_syntax_and_the_bytes_stay(tmp_path: Path) -> None:
    paths = [encoded_file(tmp_path, syntax) for syntax in sorted(ENCODERS | FILES)]
    with running(tmp_path / "node") as listener, Recorder(listener.port) as recorder:
        modalities = {"DicomModalities": {"gateway": ["SCANSTREAM", "127.0.0.1", recorder.port]}}
        with (
            orthanc_server(tmp_path, options=modalities) as orthanc,
            httpx.Client(base_url=orthanc.http, timeout=120) as client,
        ):
            client.post("/modalities/gateway/echo", content="{}").raise_for_status()
            names = [client.post("/instances", content=path.read_bytes()).json()["ID"] for path in paths]
            answer = client.post("/modalities/gateway/store", json=names)
            assert answer.status_code == 200, answer.text
            assert answer.json()["FailedInstancesCount"] == 0
        wait_for(lambda: any(isinstance(event, ArrivalHint) for event in listener.events()), "the arrival hint")
        sent = {sop: data for said in recorder.heard() for sop, data in data_sets(said).items()}
        assert stored(listener) == sent
        assert sent.keys() == {dcmread(path).SOPInstanceUID for path in paths}
        syntaxes = {event.transfer_syntax_uid for event in listener.events() if isinstance(event, InstanceStored)}
        assert syntaxes >= ENCODERS.keys() - {"1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"}
