"""pynetdicom's own programs as senders."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.proxy import Recorder
from tests.integration.samples import encoded_file
from tests.integration.wire import data_sets, stored
from tests.producers.listener import listener as running
from tests.producers.store.data import PYDICOM

pytestmark = pytest.mark.integration


def app(name: str, port: int, *arguments: object) -> str:
    """Run ``python -m pynetdicom`` to its end; what it said."""
    command = [sys.executable, "-m", "pynetdicom", name, "127.0.0.1", str(port), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_echoscu_is_answered(tmp_path: Path) -> None:
    with running(tmp_path) as listener:
        assert app("echoscu", listener.port, "-v", "--repeat", 2).count("Success)") == 2


@pytest.mark.parametrize("options", [(), ("-cx",), ("-cx", "-pdu", "4096")])
@pytest.mark.dcmtk
def test_storescu_sends_a_folder(tmp_path: Path, options: tuple[str, ...]) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "mr.dcm").write_bytes((PYDICOM / "MR_small.dcm").read_bytes())
    if options:
        for syntax in ("1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.5"):
            encoded_file(folder, syntax)
    with running(tmp_path / "node") as listener, Recorder(listener.port) as recorder:
        said = app("storescu", recorder.port, "-v", "-r", *options, folder)
        sent = data_sets(recorder.longest())
        assert said.count("Success)") == len(sent) == len(list(folder.iterdir()))
        assert stored(listener) == sent
