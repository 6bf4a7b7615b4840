"""DCMTK's senders: every proposal and option that sites use, and the stored bytes are the sent ones."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.events import InstanceStored
from tests.fuzz.proxy import Recorder
from tests.integration.samples import ENCODERS, FILES, encoded_file
from tests.integration.wire import data_set_in, data_sets, stored
from tests.producers.listener import Listener
from tests.producers.listener import listener as running
from tests.producers.store.data import DEMO, PYDICOM
from tests.tools import need

pytestmark = [pytest.mark.integration, pytest.mark.dcmtk]

#: Option of storescu that proposes a transfer syntax.
PROPOSE = {
    "1.2.840.10008.1.2": "-xi",
    "1.2.840.10008.1.2.1": "-xe",
    "1.2.840.10008.1.2.2": "-xb",
    "1.2.840.10008.1.2.1.99": "-xd",
    "1.2.840.10008.1.2.4.50": "-xy",
    "1.2.840.10008.1.2.4.51": "-xx",
    "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.80": "-xt",
    "1.2.840.10008.1.2.4.81": "-xu",
    "1.2.840.10008.1.2.4.90": "-xv",
    "1.2.840.10008.1.2.4.91": "-xw",
    "1.2.840.10008.1.2.5": "-xr",
}


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    """A gateway's listener and store."""
    with running(tmp_path) as found:
        yield found


def dcmtk(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program of DCMTK to its end."""
    command = [need(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def send(listener: Listener, program: str, *arguments: object) -> dict[str, bytes]:
    """Run a sender; what it sent, by SOP Instance UID."""
    with Recorder(listener.port) as recorder:
        done = dcmtk(program, "127.0.0.1", recorder.port, *arguments)
        assert done.returncode == 0, done.stderr
        sent: dict[str, bytes] = {}
        for said in recorder.heard():
            sent.update(data_sets(said))
    assert sent
    return sent


def test_echoscu_is_answered(listener: Listener) -> None:
    done = dcmtk("echoscu", "-v", "--repeat", 3, "-aec", "SCANSTREAM", "127.0.0.1", listener.port)
    assert done.returncode == 0
    assert (done.stdout + done.stderr).count("Received Echo Response (Success)") == 3


def test_echoscu_proposes_128_contexts(listener: Listener) -> None:
    arguments = ("--propose-pc", 128, "--propose-ts", 3, "127.0.0.1", listener.port)
    assert dcmtk("echoscu", *arguments).returncode == 0


@pytest.mark.parametrize("syntax", sorted(ENCODERS | FILES))
def test_storescu_sends_each_transfer_syntax_and_the_bytes_stay(
    listener: Listener, tmp_path: Path, syntax: str
) -> None:
    path = encoded_file(tmp_path, syntax)
    sent = send(listener, "storescu", PROPOSE[syntax], "--required", path)
    assert stored(listener) == sent
    (event,) = [event for event in listener.events() if isinstance(event, InstanceStored)]
    assert event.transfer_syntax_uid == syntax


def test_dcmsend_sends_a_mixed_folder_with_all_its_syntaxes(listener: Listener, tmp_path: Path) -> None:
    folder = tmp_path / "images" / "deeper"
    folder.mkdir(parents=True)
    paths = [encoded_file(folder, syntax) for syntax in sorted(ENCODERS | FILES)]
    sent = send(listener, "dcmsend", "--scan-directories", "--recurse", "--decompress-never", folder.parent)
    assert len(sent) == len(paths)
    assert stored(listener) == sent


def test_storescu_scans_folders_and_proposes_everything(listener: Listener) -> None:
    folder = DEMO[0].parent
    sent = send(listener, "storescu", "+sd", "+r", "+sp", "*.dcm", folder)
    assert stored(listener) == sent == _files(folder)


def _files(folder: Path) -> dict[str, bytes]:
    from pydicom import dcmread

    return {dcmread(path).SOPInstanceUID: data_set_in(path) for path in sorted(folder.glob("*.dcm"))}


@pytest.mark.parametrize("options", [("-pdu", 4096), ("-pdu", 131072), ("--max-send-pdu", 4096)])
@pytest.mark.parametrize("ours", [4096, 131072])
def test_any_pair_of_maximum_lengths_works(tmp_path: Path, options: tuple[object, ...], ours: int) -> None:
    with running(tmp_path, max_pdu_bytes=ours) as listener:
        sent = send(listener, "storescu", *options, PYDICOM / "CT_small.dcm", PYDICOM / "MR_small.dcm")
        assert stored(listener) == sent


def test_the_same_images_again_are_a_success_without_further_events(listener: Listener) -> None:
    files = (PYDICOM / "CT_small.dcm", PYDICOM / "MR_small.dcm")
    first = send(listener, "storescu", *files)
    events = [event for event in listener.events() if isinstance(event, InstanceStored)]
    assert send(listener, "storescu", "--repeat", 2, *files) == first == stored(listener)
    assert [event for event in listener.events() if isinstance(event, InstanceStored)] == events


def test_storescu_aborts_and_what_was_answered_is_kept(listener: Listener) -> None:
    sent = send(listener, "storescu", "--abort", PYDICOM / "CT_small.dcm")
    assert stored(listener) == sent


def test_user_identity_and_invented_uids_do_not_matter(listener: Listener) -> None:
    arguments = ("-usr", "somebody", "-pwd", "word", "+II", "--repeat", 4, PYDICOM / "CT_small.dcm")
    sent = send(listener, "storescu", *arguments)
    assert len(sent) == 4
    assert stored(listener) == sent
