"""Headers of source images → their frames, and where each lies in the patient (PS3.3 C.7.6.2, C.7.6.16.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """One frame of the source images; frames are counted as the slices of a mask are.

    Attributes
    ----------
    source
        Header of the image.
    number
        Frame number in the image, from 1.
    """

    source: Dataset
    number: int

    @property
    def sop_instance_uid(self) -> str:
        """SOP Instance UID of the image."""
        return str(self.source.SOPInstanceUID)


@dataclass(frozen=True)
class Plane:
    """Where a frame lies in the patient.

    Attributes
    ----------
    origin
        Centre of the first pixel, in mm.
    along_row, along_column
        Unit vectors of growing column and growing row.
    spacing
        Distance of rows and distance of columns, in mm.
    """

    origin: Floats
    along_row: Floats
    along_column: Floats
    spacing: tuple[float, float]

    @property
    def normal(self) -> Floats:
        """Unit vector across the plane."""
        return np.cross(self.along_row, self.along_column)

    def seen(self, points: Floats) -> tuple[Floats, Floats]:
        """Points of the patient, (n, 3) in mm, as (n, 2) column and row, and their (n) distances in mm.

        (0, 0) is the outer corner of the first pixel, as everywhere in coordinates on an image.
        """
        away = points - self.origin
        columns = away @ self.along_row / self.spacing[1] + 0.5
        rows = away @ self.along_column / self.spacing[0] + 0.5
        return np.stack([columns, rows], axis=1), away @ self.normal


def frames_of(sources: Sequence[Dataset]) -> list[Frame]:
    """Every frame of the images, in the order of a mask's first axis."""
    return [
        Frame(source, number)
        for source in sources
        for number in range(1, int(source.get("NumberOfFrames") or 1) + 1)
    ]


def plane_of(frame: Frame) -> Plane | None:
    """Plane of a frame; ``None`` where the header does not say it."""
    position = _value(frame, "PlanePositionSequence", "ImagePositionPatient")
    orientation = _value(frame, "PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = _value(frame, "PixelMeasuresSequence", "PixelSpacing")
    if position is None or orientation is None or spacing is None:
        return None
    if (len(position), len(orientation), len(spacing)) != (3, 6, 2) or min(spacing) <= 0:
        return None
    return Plane(position, orientation[:3], orientation[3:], (float(spacing[0]), float(spacing[1])))


def spacing_of(frame: Frame) -> tuple[float, float] | None:
    """Distance of rows and distance of columns in mm, also of a projection image; ``None`` where it is unknown."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        spacing = _value(frame, "PixelMeasuresSequence", keyword)
        if spacing is not None and len(spacing) == 2 and min(spacing) > 0:
            return float(spacing[0]), float(spacing[1])
    return None


def thickness_mm(frame: Frame) -> float:
    """Thickness of a frame or distance to the next, in mm, whichever is larger; 1 where both are unknown."""
    found = (_value(frame, "PixelMeasuresSequence", key) for key in ("SliceThickness", "SpacingBetweenSlices"))
    return max((float(value[0]) for value in found if value is not None and value[0] > 0), default=1.0)


def _value(frame: Frame, macro: str, keyword: str) -> Floats | None:
    """Numbers of an attribute: in the frame's functional groups, the shared ones, or the image itself."""
    groups = frame.source.get("PerFrameFunctionalGroupsSequence") or []
    places = [groups[frame.number - 1]] if frame.number <= len(groups) else []
    places += list(frame.source.get("SharedFunctionalGroupsSequence") or [])
    held = [item for place in places for item in place.get(macro) or []]
    for place in [*held, frame.source]:
        value = place.get(keyword)
        if value is None or value == "":
            continue
        try:
            numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
        except (TypeError, ValueError):
            continue
        if bool(np.isfinite(numbers).all()):
            return numbers
    return None
