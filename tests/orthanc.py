"""A real Orthanc with its DICOMweb plugin, on free ports of 127.0.0.1, for as long as a block lasts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.services import wait_for
from tests.tools import free_port, need, need_file

_PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"


@dataclass(frozen=True)
class OrthancServer:
    """Where a running Orthanc listens."""

    http: str
    dicom_port: int
    ae_title: str = "ORTHANC"

    @property
    def dicom_web(self) -> str:
        """DICOMweb root."""
        return f"{self.http}/dicom-web"


@contextmanager
def orthanc_server(
    directory: Path, *, http_port: int | None = None, options: Mapping[str, Any] | None = None
) -> Iterator[OrthancServer]:
    """Run Orthanc with an index and a storage of its own.

    Parameters
    ----------
    directory
        For configuration, storage and log; the same directory and port give the same PACS again.
    http_port
        Default: a free one.
    options
        Orthanc configuration beside ours, such as ``RegisteredUsers``.
    """
    program = need("Orthanc")
    plugin = need_file(_PLUGIN, "orthanc-dicomweb")
    server = OrthancServer(f"http://127.0.0.1:{http_port or free_port()}", free_port())
    configuration = directory / "orthanc.json"
    configuration.write_text(
        json.dumps(
            {
                "Name": "scanstream-test",
                "StorageDirectory": str(directory / "storage"),
                "IndexDirectory": str(directory / "storage"),
                "HttpPort": int(server.http.rpartition(":")[2]),
                "DicomPort": server.dicom_port,
                "DicomAet": server.ae_title,
                "DefaultEncoding": "Utf8",
                "RemoteAccessAllowed": False,
                "AuthenticationEnabled": False,
                "DicomServerEnabled": True,
                "DicomCheckCalledAet": False,
                "HttpServerEnabled": True,
                "Plugins": [str(plugin)],
                "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False},
            }
            | dict(options or {})
        ),
        encoding="utf-8",
    )
    log = directory / "orthanc.log"
    with log.open("ab") as output:
        child = subprocess.Popen(
            [program, str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:

            def up() -> bool:
                assert child.poll() is None, f"Orthanc ended: {log.read_text(errors='replace')}"
                try:
                    return httpx.get(f"{server.http}/system").status_code in (200, 401)
                except httpx.TransportError:
                    return False

            wait_for(up, f"Orthanc at {server.http}")
            yield server
        finally:
            # an orderly end takes it three seconds; what it has answered for is on disk all the same
            child.kill()
            child.wait(60)
