"""Data sets for the store's tests, made with pydicom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom.data
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from producers.store import PutOutcome, Received, Spool, split
from producers.store.store import InstanceStore
from schemas.events import Origin

ROOT = Path(__file__).parents[3]
DEMO = sorted((ROOT / "dashboards/demo/data/mr-brain").glob("*.dcm"))
MALFORMED = ROOT / "tests/data/malformed/stray-group-0000-and-trailing-bytes.dcm"
PYDICOM = Path(pydicom.data.__file__).parent / "test_files"

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
MR = "1.2.840.10008.5.1.4.1.1.4"


def image(sop: str = "1.2.3.4", study: str = "1.2.3", **values: Any) -> Dataset:
    """A small MR image; values by keyword."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = MR, sop
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, f"{study}.1"
    ds.PatientName, ds.PatientID, ds.Modality = "SECRET^PATIENT", "SECRET-ID", "MR"
    ds.Rows, ds.Columns, ds.BitsAllocated = 4, 4, 16
    ds.PixelData = bytes(32)
    ds["PixelData"].VR = "OW"
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def encoded(ds: Dataset, syntax: str = EXPLICIT) -> bytes:
    """Bytes of a data set."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = syntax == IMPLICIT, syntax != BIG_ENDIAN
    write_dataset(buffer, ds)
    return bytes(buffer.getvalue())


def received(data: bytes, syntax: str = EXPLICIT, **values: Any) -> Received:
    """A data set as it comes from STOW."""
    return Received(Spool.of(data), syntax, Origin.STOW_RS, **values)


async def put(store: InstanceStore, ds: Dataset, **values: Any) -> PutOutcome:
    """Store a data set."""
    return await store.put(received(encoded(ds), **values))


async def put_file(store: InstanceStore, path: Path) -> tuple[PutOutcome, bytes]:
    """Store a Part 10 file; returns the data set bytes too."""
    data = path.read_bytes()  # noqa: ASYNC240 - a small file, and nothing else runs
    meta, offset = split(data)
    return await store.put(received(data[offset:], meta.transfer_syntax_uid)), data[offset:]
