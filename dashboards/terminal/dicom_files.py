"""Paths → DICOM files that can be sent, and files that cannot, each with a reason and a remedy.

Only the file meta information (PS3.10 7.1) is trusted; the data set is looked at for its Study Instance UID and
otherwise left alone, so a malformed one is sent as it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from schemas.errors import InvalidInput

#: Where a DICOM file says that it is one (PS3.10 7.1).
MARK: Final = b"DICM"
MARK_OFFSET: Final = 128


@dataclass(frozen=True)
class DicomFile:
    """A file that can be sent: what an association must offer for it."""

    path: Path
    size_bytes: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str | None


@dataclass(frozen=True)
class Skipped:
    """A file that is not sent. ``named`` says that the person gave this very path."""

    path: Path
    reason: str
    named: bool


def find(paths: Iterable[Path]) -> Iterator[DicomFile | Skipped]:
    """Every file of the given files and folders, in the order of their names.

    Raises
    ------
    InvalidInput
        A path does not exist.
    """
    for path in paths:
        if path.is_dir():
            for folder, folders, names in os.walk(path):
                folders.sort()
                for name in sorted(names):
                    yield _looked_at(Path(folder) / name, named=False)
        elif path.exists():
            yield _looked_at(path, named=True)
        else:
            raise InvalidInput(f"{path} does not exist: check the path")


def _looked_at(path: Path, *, named: bool) -> DicomFile | Skipped:
    try:
        return look(path)
    except InvalidInput as error:
        return Skipped(path, str(error), named)


def look(path: Path) -> DicomFile:
    """What must be known of a file to send it.

    Raises
    ------
    InvalidInput
        It cannot be read, is not a DICOM file, or its file meta information lacks something.
    """
    try:
        with path.open("rb") as file:
            head = file.read(MARK_OFFSET + len(MARK))
        size = path.stat().st_size
    except OSError as error:
        raise InvalidInput(f"cannot be read ({error.strerror}): check its permissions") from error
    if head[MARK_OFFSET:] != MARK:
        raise InvalidInput("is not a DICOM file (no DICM mark at byte 128): export it as DICOM Part 10")
    meta = _file_meta(path)
    missing = [
        keyword
        for keyword in ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID")
        if not meta.get(keyword)
    ]
    if missing:
        raise InvalidInput(f"lacks {', '.join(missing)} in its file meta information: export it again")
    return DicomFile(
        path,
        size,
        str(meta.MediaStorageSOPClassUID),
        str(meta.MediaStorageSOPInstanceUID),
        str(meta.TransferSyntaxUID),
        _study_of(path),
    )


def _file_meta(path: Path) -> Any:
    from pynetdicom.dsutils import split_dataset

    try:
        meta, _ = split_dataset(path)
    # pydicom raises whatever a broken element makes it stumble over
    except Exception as error:
        raise InvalidInput(f"has unreadable file meta information ({error}): export it again") from error
    return meta


def _study_of(path: Path) -> str | None:
    from pydicom import dcmread

    try:
        dataset = dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID"])
        return str(dataset.StudyInstanceUID)
    # a data set that pydicom cannot read is sent as it is all the same: judging it is the gateway's task
    except Exception:  # noqa: BLE001
        return None
