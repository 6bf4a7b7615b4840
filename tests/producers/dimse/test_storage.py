from __future__ import annotations

import json
import logging
import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from producers.store import Refused, split
from schemas.events import ArrivalHint, HintKind, InstanceStored
from schemas.logs import JsonFormatter
from tests.producers.dimse.peer import RawPeer, request, response_of, send_files, store_request
from tests.producers.listener import Listener, data_set_of
from tests.producers.store.data import DEMO, MALFORMED, PYDICOM
from tests.studies import small_study
from tests.tools import need

#: One or two of each transfer syntax.
SYNTAXES = [
    "CT_small.dcm",
    "MR_small_implicit.dcm",
    "image_dfl.dcm",
    "ExplVR_BigEnd.dcm",
    "MR_small_expb.dcm",
    "JPEG2000.dcm",
    "examples_jpeg2k.dcm",
    "JPEG-lossy.dcm",
    "SC_rgb_rle.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_truncated.dcm",
    "waveform_ecg.dcm",
]


def study_of(path: Path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID)


def test_demo_series_arrives_with_events_in_order_and_a_hint_last(listener: Listener) -> None:
    assert send_files(listener.port, DEMO) == [0] * 20
    assert len(listener.stored(study_of(DEMO[0]))) == 20
    *instances, hint = listener.events()
    assert [type(event) for event in instances] == [InstanceStored] * 20
    assert len({event.event_id for event in instances}) == 20
    assert isinstance(hint, ArrivalHint)
    assert (hint.kind, hint.instance_count) == (HintKind.ASSOCIATION_RELEASED, 20)
    first = instances[0]
    assert isinstance(first, InstanceStored)
    assert (first.calling_ae_title, first.called_ae_title, first.modality) == ("TESTSCU", "SCANSTREAM", "MR")
    assert first.association_id == hint.association_id
    assert first.accession_number == "DEMO-A001"


def test_sending_again_is_success_and_promises_nothing(listener: Listener) -> None:
    send_files(listener.port, DEMO[:3])
    before = len(listener.events())
    assert send_files(listener.port, DEMO[:3]) == [0, 0, 0]
    assert len(listener.events()) == before


@pytest.mark.parametrize("name", SYNTAXES)
@pytest.mark.filterwarnings("ignore")
def test_every_transfer_syntax_is_stored_byte_for_byte(listener: Listener, name: str) -> None:
    data = (PYDICOM / name).read_bytes()
    meta, offset = split(data)
    sop_class, sop = str(meta.sop_class_uid), str(meta.sop_instance_uid)
    with RawPeer(listener.port) as peer:
        peer.associate(request([(sop_class, [meta.transfer_syntax_uid])]))
        peer.send(store_request(sop, data[offset:], context_id=1, sop_class=sop_class))
        assert response_of(peer).status == 0
    (stored,) = listener.stored(study_of(PYDICOM / name))
    assert stored.transfer_syntax_uid == meta.transfer_syntax_uid
    assert data_set_of(stored) == data[offset:]
    assert pydicom.dcmread(stored.path, stop_before_pixels=True).SOPInstanceUID == sop


@pytest.mark.parametrize("name", ["MR_small_implicit.dcm", "JPEG2000.dcm", "SC_rgb_rle.dcm"])
def test_pynetdicom_sends_other_transfer_syntaxes(listener: Listener, name: str) -> None:
    assert send_files(listener.port, [PYDICOM / name]) == [0]
    (stored,) = listener.stored(study_of(PYDICOM / name))
    assert pydicom.dcmread(stored.path) == pydicom.dcmread(PYDICOM / name)


def test_the_other_bytes_of_a_uid_are_a_conflict(listener: Listener, tmp_path: Path) -> None:
    changed = pydicom.dcmread(DEMO[0])
    changed.SeriesDescription = "changed"
    changed.save_as(tmp_path / "changed.dcm")
    assert send_files(listener.port, [DEMO[0], tmp_path / "changed.dcm"]) == [0, 0x0111]
    assert len(listener.stored(study_of(DEMO[0]))) == 1


def test_no_identity_in_the_log(listener: Listener, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.DEBUG, "producers")
    slices = small_study(4711001, slices=2, patient_name="Ґудзь^Євгенія")
    files = []
    for index, ds in enumerate(slices):
        ds.PatientBirthDate, ds.PatientID = "19010203", "PID-4711"
        ds.save_as(tmp_path / f"{index}.dcm", enforce_file_format=True)
        files.append(tmp_path / f"{index}.dcm")
    send_files(listener.port, files)
    slices[0].StudyDescription = "conflict"
    slices[0].save_as(tmp_path / "0.dcm", enforce_file_format=True)
    assert send_files(listener.port, files) == [0x0111, 0]
    formatter = JsonFormatter("gateway")
    lines = [formatter.format(record) for record in caplog.records if record.name.startswith("producers")]
    assert any("association released" in line for line in lines)
    assert all(json.loads(line)["event"] for line in lines)
    for secret in ("Ґудзь", "Євгенія", "PID-4711", "19010203"):
        assert secret not in "\n".join(lines)


@pytest.mark.integration
@pytest.mark.dcmtk
def test_dcmtk_echo(listener: Listener) -> None:
    subprocess.run(
        [need("echoscu"), "-aec", "SCANSTREAM", "127.0.0.1", str(listener.port)], check=True, timeout=60
    )


@pytest.mark.integration
@pytest.mark.dcmtk
def test_dcmtk_sends_a_series_whose_pixels_arrive_unchanged(listener: Listener) -> None:
    sent = [*DEMO, PYDICOM / "CT_small.dcm"]
    command = [need("storescu"), "-R", "-aec", "SCANSTREAM", "127.0.0.1", str(listener.port), *map(str, sent)]
    subprocess.run(command, check=True, timeout=120)
    stored = listener.stored(study_of(DEMO[0]))
    assert len(stored) == 20
    received = {one.sop_instance_uid: pydicom.dcmread(one.path) for one in stored}
    for path in DEMO:
        expected = pydicom.dcmread(path)
        assert received[expected.SOPInstanceUID].PixelData == expected.PixelData
        assert received[expected.SOPInstanceUID].PatientName == expected.PatientName


@pytest.mark.integration
@pytest.mark.dcmtk
@pytest.mark.parametrize("size", ["4096", "131072"])
def test_dcmtk_with_small_and_large_pdus(listener: Listener, size: str) -> None:
    command = [need("storescu"), "--max-send-pdu", size, "127.0.0.1", str(listener.port), str(DEMO[0])]
    assert subprocess.run(command, check=False, timeout=120, capture_output=True).returncode == 0
    assert len(listener.stored(study_of(DEMO[0]))) == 1


@pytest.mark.integration
@pytest.mark.dcmtk
def test_malformed_file_is_taken_or_refused_but_never_lost(
    listener: Listener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """DCMTK keeps the stray element and drops most of the trailing bytes; we see only what it sends."""
    shutil.copy(MALFORMED, tmp_path / "malformed.dcm")
    command = [need("storescu"), "127.0.0.1", str(listener.port), str(tmp_path / "malformed.dcm")]
    sent = subprocess.run(command, check=False, timeout=120, capture_output=True)
    stored = listener.stored(study_of(MALFORMED))
    assert (sent.returncode == 0) == (len(stored) == 1)
    assert all(record.exc_info is None for record in caplog.records)


def test_malformed_bytes_are_stored_as_sent(listener: Listener) -> None:
    data = MALFORMED.read_bytes()
    meta, offset = split(data)
    with RawPeer(listener.port) as peer:
        peer.associate()
        peer.send(store_request(str(meta.sop_instance_uid), data[offset:], fragment=100_000))
        assert response_of(peer).status == 0
    (stored,) = listener.stored(study_of(MALFORMED))
    assert data_set_of(stored) == data[offset:]


def test_truncated_part_10_is_refused_with_a_sentence() -> None:
    with pytest.raises(Refused, match="DICM"):
        split(BytesIO(b"\0" * 128).getvalue())
