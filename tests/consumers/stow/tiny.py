"""A real tiny-pacs with its DICOMweb front, on free ports of 127.0.0.1: a PACS that stores nothing twice."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from tests.services import program, wait_for
from tests.tools import free_port, missing


@dataclass(frozen=True)
class TinyPacs:
    """Where a running one listens."""

    dicom_web: str
    dicom_port: int
    ae_title: str = "TINY_PACS"


@contextmanager
def tiny_pacs(directory: Path, **devices: int) -> Iterator[TinyPacs]:
    """Run tiny-pacs with everything in memory; ``devices`` are AE titles and their ports."""
    if find_spec("tiny_pacs_dicomweb") is None or find_spec("waitress") is None:
        missing("tiny-pacs-dicomweb is not installed (pip install 'tiny_pacs[dicomweb]')")
    command = shutil.which("tiny-pacs", path=str(Path(sys.executable).parent)) or "tiny-pacs"
    web, server = free_port(), TinyPacs("", free_port())
    configuration: dict[str, Any] = {
        "log": {"version": 1, "root": {"level": "WARNING"}},
        "ae": {"ae_title": [server.ae_title], "port": server.dicom_port, "dump_ds": False},
        "components": {
            "Database": {"on": True},
            "Devices": {
                "on": True,
                "devices": {
                    title: {"aet": title, "address": "127.0.0.1", "port": port} for title, port in devices.items()
                },
            },
            "PACS": {"on": True},
            "InMemoryStorage": {"on": True},
            "HttpServer": {"on": True, "port": web},
            "DICOMWeb": {"on": True},
        },
    }
    file = directory / "tiny-pacs.yaml"
    file.write_text(yaml.safe_dump(configuration), encoding="utf-8")
    log = directory / "tiny-pacs.log"
    with program([command, "run", "-c", str(file)], environment={}, log=log) as child:

        def up() -> bool:
            assert child.poll() is None, log.read_text(errors="replace")
            return all(_is_open(port) for port in (web, server.dicom_port))

        wait_for(up, f"tiny-pacs at {web}")
        yield TinyPacs(f"http://127.0.0.1:{web}/dicomweb", server.dicom_port)


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
