"""Locations and masks of a finding → regions of a report: SCOORD on an image, SCOORD3D in the patient.

A contour or box is a closed polyline. A finding that has a segment but no line around it gets outlines of it,
because many viewers draw coordinates and no segments: on the slice with the most voxels, and halfway from there to
its first and last one; there around the largest region.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import highdicom as hd
import numpy as np
from pydicom import Dataset

from consumers.dicom.material import Mask, Material
from consumers.dicom.outline import MOST_POINTS, Points, outlines
from consumers.dicom.planes import frames_of
from consumers.dicom.source import image_of
from schemas.errors import InvalidMessage
from schemas.events import Finding, Location, LocationKind

_ON_IMAGE: Final = frozenset({LocationKind.POINT, LocationKind.CONTOUR, LocationKind.BOX})
_LINES: Final = frozenset({LocationKind.CONTOUR, LocationKind.BOX})

#: SCOORD3D has three numbers a point, and its Graphic Data the same 16-bit length.
_MOST_POINTS_3D: Final = 5400


def mask_of(finding: Finding, material: Material) -> Mask | None:
    """Mask of a finding's segment; ``None`` where it has none, or an empty one."""
    number = finding.segment_number
    if number is None or not 0 < number <= len(material.masks):
        return None
    mask = material.masks[number - 1]
    return mask if mask.any() else None


def planar_regions(finding: Finding, material: Material, images: Mapping[str, Dataset]) -> list[Any]:
    """Regions on images (PS3.3 C.18.6), as content items of TID 1410.

    Parameters
    ----------
    finding
        Its two-dimensional locations, and its segment.
    material
        Sources and masks.
    images
        SOP Instance UID → header, of the sources.

    Raises
    ------
    InvalidMessage
        A location names no image of the result, or its numbers are no coordinates.
    """
    found = [_on_image(location, images) for location in finding.locations if location.kind in _ON_IMAGE]
    mask = mask_of(finding, material)
    if mask is not None and not any(location.kind in _LINES for location in finding.locations):
        found += _outlines(mask, material)
    return found


def regions_in_space(finding: Finding, material: Material) -> list[Any]:
    """Regions in the patient (PS3.3 C.18.9), as content items of TID 1410.

    Raises
    ------
    InvalidMessage
        There is no frame of reference, or its numbers are no coordinates.
    """
    return [_in_space(location, material) for location in in_space(finding)]


def in_space(finding: Finding) -> list[Location]:
    """Locations of a finding that lie on no image."""
    return [location for location in finding.locations if location.kind not in _ON_IMAGE]


def coordinates(location: Location) -> Points:
    """Points of a location, one in each row.

    Raises
    ------
    InvalidMessage
        Their number does not fit, or one is not a finite number.
    """
    dimensions = 2 if location.kind in _ON_IMAGE else 3
    points = np.asarray(location.points, dtype=np.float64)
    enough = 2 if location.kind is LocationKind.BOX else 1
    if len(points) < dimensions * enough or len(points) % dimensions or not np.isfinite(points).all():
        raise InvalidMessage(
            f"a location of kind {location.kind.value} has {len(points)} numbers, or some that are not finite: "
            "correct what the model gives"
        )
    return points.reshape(-1, dimensions)


def _on_image(location: Location, images: Mapping[str, Dataset]) -> Any:
    image = image_of(images, location.sop_instance_uid or "without a name")
    # A box around something at the border may reach beyond it; coordinates may not (PS3.3 C.18.6.1.1).
    points = np.clip(coordinates(location), 0, [int(image.Columns), int(image.Rows)])
    if location.kind is LocationKind.BOX:
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return _region(points, image, location.frame_number or 1)


def _outlines(mask: Mask, material: Material) -> list[Any]:
    voxels = mask.sum(axis=(1, 2))
    (filled,) = voxels.nonzero()
    largest = int(voxels.argmax())
    chosen = sorted({(int(filled[0]) + largest) // 2, largest, (largest + int(filled[-1]) + 1) // 2})
    frames = frames_of(material.sources)
    return [
        _region(outlines(mask[number])[0], frames[number].source, frames[number].number)
        for number in chosen
        if voxels[number]
    ]


def _region(points: Points, image: Dataset, frame: int) -> Any:
    frames = [frame] if "NumberOfFrames" in image else None
    source = hd.sr.SourceImageForRegion(image.SOPClassUID, image.SOPInstanceUID, frames)
    if len(points) == 1:
        return hd.sr.ImageRegion(hd.sr.GraphicTypeValues.POINT, points, source)
    return hd.sr.ImageRegion(hd.sr.GraphicTypeValues.POLYLINE, _closed(points, MOST_POINTS), source)


def _in_space(location: Location, material: Material) -> Any:
    frame_of_reference = location.frame_of_reference_uid or material.sources[0].get("FrameOfReferenceUID")
    if not frame_of_reference:
        raise InvalidMessage(
            "a location in the patient names no frame of reference, and the images have none: "
            "correct what the model gives"
        )
    points = coordinates(location)
    if len(points) == 1:
        return hd.sr.ImageRegion3D(hd.sr.GraphicTypeValues3D.POINT, points, str(frame_of_reference))
    # POLYGON would promise that all points lie in one plane.
    closed = _closed(points, _MOST_POINTS_3D)
    return hd.sr.ImageRegion3D(hd.sr.GraphicTypeValues3D.POLYLINE, closed, str(frame_of_reference))


def _closed(points: Points, most: int) -> Points:
    """Line whose last point is its first, thinned evenly where it has too many for one value."""
    thinned = points[:: -(-len(points) // (most - 1))]
    return thinned if np.array_equal(thinned[0], thinned[-1]) else np.vstack([thinned, thinned[:1]])
