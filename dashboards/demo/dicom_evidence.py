"""SEG and SR data sets → what they say: a mask, a volume.

Reads the objects on their own terms, apart from the code that wrote them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.errors import InvalidInput

#: SNOMED CT concept of the measurement (DICOM CID 7461).
VOLUME: Final = ("118565006", "SCT")

Mask = npt.NDArray[np.bool_]


def mask_of(seg: Any, sop_instance_uids: Sequence[str]) -> Mask:
    """Mask of a single-segment binary SEG (PS3.3 A.51).

    Parameters
    ----------
    seg
        Data set with pixels.
    sop_instance_uids
        Source images in the order of the slices wanted.

    Returns
    -------
    bool array (slices, rows, columns)
        A slice without a frame is empty.

    Raises
    ------
    InvalidInput
        A frame is derived from an image that is not among the source images.
    """
    place = {uid: number for number, uid in enumerate(sop_instance_uids)}
    mask = np.zeros((len(sop_instance_uids), int(seg.Rows), int(seg.Columns)), dtype=np.bool_)
    pixels = np.reshape(seg.pixel_array, (-1, int(seg.Rows), int(seg.Columns)))
    for frame, groups in zip(pixels, seg.PerFrameFunctionalGroupsSequence, strict=True):
        source = str(groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
        if source not in place:
            raise InvalidInput(f"a frame of the SEG is derived from {source}, which is no image of the study")
        mask[place[source]] |= frame.astype(np.bool_)
    return mask


def volumes_ml(sr: Any) -> list[float]:
    """Volumes in mL among the measurements of a structured report (TID 1500), in its order."""
    found = []
    for item in content_items(sr):
        if item.get("ValueType") != "NUM" or _code(item.ConceptNameCodeSequence[0]) != VOLUME:
            continue
        measured = item.MeasuredValueSequence[0]
        factor = {"mL": 1.0, "ml": 1.0, "cm3": 1.0, "mm3": 1e-3, "L": 1e3}.get(
            str(measured.MeasurementUnitsCodeSequence[0].CodeValue)
        )
        if factor is not None:
            found.append(float(measured.NumericValue) * factor)
    return found


def content_items(item: Any) -> Iterator[Any]:
    """Every content item below ``item``, depth first (PS3.3 C.17.3)."""
    for child in item.get("ContentSequence", []):
        yield child
        yield from content_items(child)


def voxel_ml(images: Sequence[Any]) -> float:
    """Volume of one voxel in mL: pixel spacing times the mean distance of neighbouring slices.

    Parameters
    ----------
    images
        Source images in the order of the slices.
    """
    first = images[0]
    row, column = (np.array(first.ImageOrientationPatient[i : i + 3], float) for i in (0, 3))
    normal = np.cross(row, column)
    places = [float(np.dot(np.array(image.ImagePositionPatient, float), normal)) for image in images]
    distance_mm = abs(places[-1] - places[0]) / (len(places) - 1)
    return float(first.PixelSpacing[0]) * float(first.PixelSpacing[1]) * distance_mm / 1000


def _code(item: Any) -> tuple[str, str]:
    return str(item.CodeValue), str(item.CodingSchemeDesignator)
