"""`scanstream send` against a real storage SCP: what arrives is what is on disk."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage, MRImageStorage

from dashboards.terminal.dicom_files import DicomFile, look
from dashboards.terminal.scu import MAX_CONTEXTS, batches
from schemas.errors import InvalidInput
from tests.tools import free_port

ROOT = Path(__file__).parents[3]
BRAIN = ROOT / "dashboards/demo/data/mr-brain"
MALFORMED = ROOT / "tests/data/malformed/stray-group-0000-and-trailing-bytes.dcm"


@dataclass
class Scp:
    """A storage SCP that keeps the bytes that it got; ``status`` is what it answers."""

    port: int = field(default_factory=free_port)
    status: int = 0x0000
    received: dict[str, bytes] = field(default_factory=dict)

    def store(self, event: evt.Event) -> int:
        self.received[str(event.request.AffectedSOPInstanceUID)] = event.request.DataSet.getvalue()
        return self.status


@pytest.fixture
def scp() -> Iterator[Scp]:
    scp = Scp()
    entity = AE(ae_title="PACS")
    for sop_class in (MRImageStorage, CTImageStorage):
        entity.add_supported_context(sop_class, ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"])
    server = entity.start_server(("127.0.0.1", scp.port), block=False, evt_handlers=[(evt.EVT_C_STORE, scp.store)])
    try:
        yield scp
    finally:
        server.shutdown()


def scanstream(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dashboards.terminal", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def send(scp: Scp, cwd: Path, *paths: Path) -> tuple[int, dict, str]:
    done = scanstream(
        "send",
        "--json",
        "--port",
        str(scp.port),
        "--host",
        "127.0.0.1",
        "--called",
        "PACS",
        *map(str, paths),
        cwd=cwd,
    )
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def data_set_of(path: Path) -> bytes:
    from pynetdicom.dsutils import split_dataset

    _, offset = split_dataset(path)
    return path.read_bytes()[offset:]


def test_a_folder_is_sent_byte_for_byte(scp: Scp, tmp_path: Path):
    code, said, errors = send(scp, tmp_path, BRAIN)
    assert code == 0
    assert said["stored"] == 20
    assert said["failed"] == []
    assert [item["path"].rpartition("/")[2] for item in said["skipped"]] == ["LICENSE"]
    assert "LICENSE is not a DICOM file" in errors
    [study] = said["studies"]
    assert study.startswith("1.2.826.0.1.3680043.8.498.")
    first = look(BRAIN / "001.dcm")
    assert scp.received[first.sop_instance_uid] == data_set_of(BRAIN / "001.dcm")


def test_the_malformed_file_is_sent_as_it_is(scp: Scp, tmp_path: Path):
    code, said, _ = send(scp, tmp_path, MALFORMED)
    assert (code, said["stored"]) == (0, 1)
    [(uid, data)] = scp.received.items()
    assert uid == "0.0.0.0.1.8811.2.1.20010413115754.12432"
    assert data == data_set_of(MALFORMED)


def test_a_file_that_was_named_and_is_not_dicom_is_an_error(scp: Scp, tmp_path: Path):
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    code, said, errors = send(scp, tmp_path, text, BRAIN / "001.dcm")
    assert (code, said["stored"]) == (1, 1)
    assert f"{text} is not a DICOM file (no DICM mark at byte 128)" in errors.replace("\n", " ")
    assert "Traceback" not in errors


def test_nothing_to_send(scp: Scp, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("hello")
    code, said, errors = send(scp, tmp_path, tmp_path)
    assert (code, said) == (1, {})
    assert "there is no DICOM file to send" in errors


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (0xA700, "out of resources"),
        (0xA900, "does not match its SOP class"),
        (0xC210, "cannot understand"),
        (0x0122, "refused it"),
    ],
)
def test_a_refusal_is_said_with_its_status(scp: Scp, tmp_path: Path, status: int, sentence: str):
    scp.status = status
    code, said, errors = send(scp, tmp_path, BRAIN / "001.dcm")
    assert code == 1
    assert said["failed"][0]["status"] == status
    assert sentence in said["failed"][0]["reason"]
    assert f"0x{status:04X}" in errors


def test_a_warning_means_stored(scp: Scp, tmp_path: Path):
    scp.status = 0xB007
    code, said, _ = send(scp, tmp_path, BRAIN / "001.dcm")
    assert (code, said["stored"]) == (0, 1)


def test_a_transfer_syntax_that_the_far_side_does_not_take(scp: Scp, tmp_path: Path):
    from pydicom import dcmread

    odd = tmp_path / "odd.dcm"
    dataset = dcmread(BRAIN / "001.dcm")
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.90"
    dataset["PixelData"].VR = "OB"
    from pydicom.encaps import encapsulate

    dataset.PixelData = encapsulate([b"\xff\x4f\x00\x00"])
    dataset.save_as(odd)
    code, said, _ = send(scp, tmp_path, odd, BRAIN / "002.dcm")
    assert (code, said["stored"]) == (1, 1)
    assert "JPEG 2000" in said["failed"][0]["reason"]


def test_nobody_there(tmp_path: Path):
    done = scanstream("send", "--port", str(free_port()), str(BRAIN), cwd=tmp_path)
    assert done.returncode == 1
    assert "nothing answers for SCANSTREAM" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("cut", [0, 100, 132, 140, 200])
def test_a_cut_file_is_one_sentence(tmp_path: Path, cut: int):
    whole = (BRAIN / "001.dcm").read_bytes()
    path = tmp_path / "cut.dcm"
    path.write_bytes(whole[:cut])
    with pytest.raises(InvalidInput):
        look(path)


def test_a_file_cut_in_its_pixels_is_still_sent_as_it_is(scp: Scp, tmp_path: Path):
    path = tmp_path / "cut.dcm"
    path.write_bytes((BRAIN / "001.dcm").read_bytes()[:50_000])
    code, said, _ = send(scp, tmp_path, path)
    assert (code, said["stored"]) == (0, 1)
    assert next(iter(scp.received.values())) == data_set_of(path)


def test_an_association_never_offers_more_than_it_may():
    files = [
        DicomFile(Path(str(number)), 1, f"1.2.{number % 300}", f"1.{number}", "1.2.840.10008.1.2.1", None)
        for number in range(700)
    ]
    made = list(batches(files))
    assert [file for batch in made for file in batch] == files
    assert all(len({file.sop_class_uid for file in batch}) <= MAX_CONTEXTS for batch in made)


def test_an_unreadable_file_is_named(scp: Scp, tmp_path: Path):
    shutil.copy(BRAIN / "001.dcm", tmp_path / "good.dcm")
    (tmp_path / "dangling.dcm").symlink_to(tmp_path / "nowhere")
    code, said, _ = send(scp, tmp_path, tmp_path)
    assert (code, said["stored"]) == (0, 1)
    assert said["skipped"][0]["path"].endswith("dangling.dcm")
