"""DCMTK's dcmqrscp as the source: C-FIND without optional keys, C-MOVE, C-GET, byte for byte."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from producers.store.part10 import split
from tests.producers.poller.site import Gateway, poller, todays_study, uid_of
from tests.services import program, stop, wait_for
from tests.studies import encoded, write
from tests.tools import free_port, need

pytestmark = [pytest.mark.integration, pytest.mark.dcmtk]


@contextmanager
def dcmqrscp(tmp_path: Path, receiving: Gateway, studies: Sequence[Sequence[Dataset]]) -> Iterator[int]:
    """A PACS of DCMTK that holds these studies; yields its port."""
    scp, index, echo = need("dcmqrscp"), need("dcmqridx"), need("echoscu")
    port, archive = free_port(), tmp_path / "archive"
    archive.mkdir()
    files = [file for at, study in enumerate(studies) for file in write(list(study), archive / str(at))]
    subprocess.run([index, str(archive), *map(str, files)], check=True, capture_output=True, timeout=60)
    configuration = tmp_path / "dcmqrscp.cfg"
    configuration.write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
        f"HostTable BEGIN\ngateway = (SCANSTREAM, 127.0.0.1, {receiving.dimse_port})\nHostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nDCMTK {archive} RW (200, 1024mb) ANY\nAETable END\n",
        encoding="ascii",
    )
    log = tmp_path / "dcmqrscp.log"
    with program([scp, "-c", str(configuration)], environment={}, log=log) as child:

        def up() -> bool:
            assert child.poll() is None, log.read_text(errors="replace")
            command = [echo, "-aec", "DCMTK", "127.0.0.1", str(port)]
            return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0

        wait_for(up, "dcmqrscp")
        yield port


@pytest.mark.parametrize("way", ["c-move", "c-get"])
def test_studies_arrive_byte_for_byte(way: str, receiving: Gateway, tmp_path: Path, number: str) -> None:
    studies = [todays_study(f"{number}.{index}") for index in (1, 2)]
    with dcmqrscp(tmp_path, receiving, studies) as port:
        source = {"kind": way, "host": "127.0.0.1", "port": port, "ae_title": "DCMTK"}
        with poller(tmp_path, receiving.url, source) as running:
            wait_for(lambda: len(running.said("study brought")) == 2, "both studies")
            assert stop(running.child) == 0
    for study in studies:
        files = [encoded(image) for image in study]
        assert receiving.data_sets(uid_of(study)) == sorted(file[split(file)[1] :] for file in files)
