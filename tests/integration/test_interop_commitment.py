"""Orthanc as the user of storage commitment: it asks on one association, and is told on another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.orthanc import orthanc_server
from tests.producers.dimse.around import department, known_peer
from tests.producers.store.data import DEMO
from tests.services import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.orthanc]


def test_orthanc_learns_what_is_committed_and_what_is_not(tmp_path: Path) -> None:
    with department(tmp_path) as gateway:
        modality = {"AET": "SCANSTREAM", "Host": "127.0.0.1", "Port": gateway.port, "AllowStorageCommitment": True}
        options = {"DicomModalities": {"gateway": modality}}
        with (
            orthanc_server(tmp_path, options=options) as orthanc,
            httpx.Client(base_url=orthanc.http, timeout=120) as client,
        ):
            known_peer(gateway.peers_file, orthanc.ae_title, orthanc.dicom_port)
            sent, kept = (client.post("/instances", content=path.read_bytes()).json()["ID"] for path in DEMO[:2])
            stored = client.post(
                "/modalities/gateway/store", content=json.dumps({"Resources": [sent], "StorageCommitment": True})
            )
            assert report(client, stored.json()["StorageCommitmentTransactionUID"])["Status"] == "Success"

            asked = client.post(
                "/modalities/gateway/storage-commitment", content=json.dumps({"Resources": [sent, kept]})
            )
            told = report(client, asked.json()["ID"])
            assert told["Status"] == "Failure"
            assert len(told["Success"]) == 1
            (failure,) = told["Failures"]
            assert failure["FailureReason"] == 0x0112


def report(client: httpx.Client, transaction: str) -> dict[str, Any]:
    """Report of a transaction, once it has come."""
    found: list[dict[str, Any]] = []

    def come() -> bool:
        found.append(client.get(f"/storage-commitment/{transaction}").json())
        return found[-1]["Status"] != "Pending"

    wait_for(come, "the report of storage commitment")
    return found[-1]
