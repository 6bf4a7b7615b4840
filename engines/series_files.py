"""Folder or ``.zip`` with the images of one series → datasets."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Final

from pydicom import Dataset, dcmread

from schemas.errors import ConfigurationError

#: Of an archive, unpacked: it is read into memory.
MOST_BYTES: Final = 2 << 30


def read_series(path: Path) -> list[Dataset]:
    """Every DICOM file of a folder or archive, in the order of their names.

    Raises
    ------
    ConfigurationError
        There is none, or one cannot be read.
    """
    try:
        if path.is_dir():
            images: list[Dataset] = [dcmread(file) for file in sorted(path.rglob("*")) if file.is_file()]
        else:
            with zipfile.ZipFile(path) as archive:
                _check_size(path, archive)
                names = sorted(name for name in archive.namelist() if not name.endswith("/"))
                images = [dcmread(io.BytesIO(archive.read(name))) for name in names]
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(f"{path} is no series of DICOM files ({error}): restore it") from error
    if not images:
        raise ConfigurationError(f"{path} holds no DICOM file: restore the validation set")
    return images


def _check_size(path: Path, archive: zipfile.ZipFile) -> None:
    """No more than a member declares is ever unpacked of it."""
    size = sum(member.file_size for member in archive.infolist())
    if size > MOST_BYTES:
        raise ConfigurationError(
            f"{path} has {size} bytes when it is unpacked, and {MOST_BYTES} are allowed: use a smaller series"
        )
