"""Image files as the programs of DCMTK make them: one image in many transfer syntaxes, names in many alphabets."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import generate_uid

from tests.producers.store.data import PYDICOM
from tests.tools import need

#: Transfer syntax → program and options that encode it (DCMTK), or a file of pydicom's that is encoded so.
ENCODERS: dict[str, tuple[str, ...]] = {
    "1.2.840.10008.1.2": ("dcmconv", "+ti"),
    "1.2.840.10008.1.2.1": ("dcmconv", "+te"),
    "1.2.840.10008.1.2.2": ("dcmconv", "+tb"),
    "1.2.840.10008.1.2.1.99": ("dcmconv", "+td"),
    "1.2.840.10008.1.2.4.50": ("dcmcjpeg", "+eb"),
    "1.2.840.10008.1.2.4.51": ("dcmcjpeg", "+ee"),
    "1.2.840.10008.1.2.4.70": ("dcmcjpeg", "+e1"),
    "1.2.840.10008.1.2.4.80": ("dcmcjpls", "+el"),
    "1.2.840.10008.1.2.4.81": ("dcmcjpls", "+en"),
    "1.2.840.10008.1.2.5": ("dcmcrle",),
}
FILES = {
    "1.2.840.10008.1.2.4.90": PYDICOM / "MR_small_jp2klossless.dcm",
    "1.2.840.10008.1.2.4.91": PYDICOM / "JPEG2000.dcm",
}
_EIGHT_BITS = PYDICOM / "SC_rgb_small_odd.dcm"
_SIXTEEN_BITS = PYDICOM / "CT_small.dcm"


def encoded_file(directory: Path, syntax: str) -> Path:
    """An image in a transfer syntax, with a SOP Instance UID of its own."""
    target = directory / f"{syntax}.dcm"
    source = directory / f"{syntax}.source"
    image = dcmread(
        FILES.get(syntax) or (_EIGHT_BITS if syntax.endswith((".50", ".51", ".81")) else _SIXTEEN_BITS)
    )
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    image.save_as(source)
    if syntax in FILES:
        return source.rename(target)
    program, *options = ENCODERS[syntax]
    command = [need(program), *options, str(source), str(target)]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    source.unlink()
    assert dcmread(target).file_meta.TransferSyntaxUID == syntax
    return target


def named_file(directory: Path, name: bytes, charset: str | None) -> Path:
    """An image whose patient has this name, in these very bytes."""
    image = dcmread(PYDICOM / "MR_small.dcm")
    image.StudyInstanceUID, image.SOPInstanceUID = generate_uid(), generate_uid()
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    placeholder = "X" * (len(name) + len(name) % 2)
    image.PatientName, image.PatientID = placeholder, image.SOPInstanceUID[-16:]
    if charset is None:
        image.pop("SpecificCharacterSet", None)
    else:
        image.SpecificCharacterSet = charset
    path = directory / f"{charset}.dcm"
    image.save_as(path)
    data = path.read_bytes()
    assert data.count(placeholder.encode()) == 1
    path.write_bytes(data.replace(placeholder.encode(), name.ljust(len(placeholder))))
    return path
