"""The demonstration series → the same images under new UIDs: a study that nobody has seen before."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydicom import dcmread

SERIES: Final = Path(__file__).parent / "data" / "mr-brain"

#: Attributes whose values are replaced; equal ones stay equal.
_RENEWED: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")


@dataclass(frozen=True)
class FreshStudy:
    """A study on disk; ``images`` are its data sets in the order of their files."""

    study_instance_uid: str
    folder: Path
    images: tuple[Any, ...]


def random_uid() -> str:
    """UID that nobody else has (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid4().int}"


def fresh_study(folder: Path, source: Path = SERIES, new_uid: Callable[[], str] = random_uid) -> FreshStudy:
    """Write the images of ``source`` to ``folder`` under new UIDs.

    Parameters
    ----------
    folder
        Exists and is empty.
    source
        Folder of DICOM files of one study.
    new_uid
        Gives a UID that was never used.
    """
    renewed: dict[str, str] = {}
    images = []
    for path in sorted(source.glob("*.dcm")):
        image = dcmread(path)
        for keyword in _RENEWED:
            value = str(image.get(keyword))
            if value not in renewed:
                renewed[value] = new_uid()
            setattr(image, keyword, renewed[value])
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.save_as(folder / path.name)
        images.append(image)
    return FreshStudy(str(images[0].StudyInstanceUID), folder, tuple(images))
