"""Locations and segments of findings → the points and closed lines that are drawn on each frame of the source.

Presentation states and key images draw the same marks. What does not lie on a source image (another series,
outside of the volume, numbers that are none) is not drawn: a wrong place is worse than none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from consumers.dicom.material import Material
from consumers.dicom.outline import MOST_POINTS, Points, outlines
from consumers.dicom.planes import Frame, Plane, frames_of, plane_of, thickness_mm
from consumers.dicom.report_regions import mask_of
from schemas.events import Finding, InferenceResult, Location, LocationKind

#: Lines around one segment on one frame; the smaller regions of a noisy mask are not drawn.
MOST_LINES: Final = 50

_AREAS: Final = frozenset({LocationKind.CONTOUR, LocationKind.BOX, LocationKind.CONTOUR_3D})


@dataclass(frozen=True)
class Mark:
    """Something to draw on one frame.

    Attributes
    ----------
    number
        Of the finding in its result, from 1.
    finding
        What it belongs to.
    points
        (n, 2) of column and row on the frame; one is a point, more are a closed line (the first is not repeated).
    """

    number: int
    finding: Finding
    points: Points


def marks_of(result: InferenceResult, material: Material) -> dict[int, list[Mark]]:
    """Marks of each frame that has any, by its index among :func:`consumers.dicom.planes.frames_of`."""
    space = _Space.of(frames_of(material.sources))
    marks: dict[int, list[Mark]] = defaultdict(list)
    for number, finding in enumerate(result.findings, start=1):
        drawn = False
        for location in finding.locations:
            for index, points in space.placed(location):
                marks[index].append(Mark(number, finding, points))
                drawn = drawn or location.kind in _AREAS
        if not drawn:
            for index, points in _segment(finding, material):
                marks[index].append(Mark(number, finding, points))
    return {index: marks[index] for index in sorted(marks)}


def _segment(finding: Finding, material: Material) -> Iterator[tuple[int, Points]]:
    mask = mask_of(finding, material)
    if mask is None:
        return
    for index in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
        for line in outlines(mask[index], holes=True)[:MOST_LINES]:
            yield index, line


@dataclass(frozen=True)
class _Placed:
    """A frame in the patient: its index, plane, thickness in mm, and Frame of Reference UID (perhaps empty)."""

    index: int
    plane: Plane
    reach: float
    space: str


@dataclass(frozen=True)
class _Space:
    """The frames, by name and by place."""

    frames: Sequence[Frame]
    by_name: Mapping[tuple[str, int], int]
    planes: Sequence[_Placed]
    origins: Points
    normals: Points

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> _Space:
        planes = [
            _Placed(index, plane, thickness_mm(frame), str(frame.source.get("FrameOfReferenceUID") or ""))
            for index, frame in enumerate(frames)
            if (plane := plane_of(frame)) is not None
        ]
        return cls(
            frames,
            {(frame.sop_instance_uid, frame.number): index for index, frame in enumerate(frames)},
            planes,
            np.array([placed.plane.origin for placed in planes]).reshape(-1, 3),
            np.array([placed.plane.normal for placed in planes]).reshape(-1, 3),
        )

    def placed(self, location: Location) -> Iterator[tuple[int, Points]]:
        """Index of the frame on which a location lies, and its points there."""
        size = 3 if location.kind in (LocationKind.POINT_3D, LocationKind.CONTOUR_3D) else 2
        points = np.asarray(location.points[: len(location.points) // size * size], dtype=np.float64)
        points = points.reshape(-1, size)
        if not len(points) or not bool(np.isfinite(points).all()):
            return
        if size == 3:
            yield from self._in_the_patient(location, points)
            return
        index = self.by_name.get((location.sop_instance_uid or "", location.frame_number or 1))
        if index is not None:
            yield from self._shaped(location.kind, points, index)

    def _in_the_patient(self, location: Location, points: Points) -> Iterator[tuple[int, Points]]:
        """On the nearest frame; a contour that crosses frames is marked by its centre alone."""
        centre = points.mean(axis=0, keepdims=True)
        # of all planes at once: hundreds of findings in thousands of images are usual
        distances = np.abs(np.sum((centre - self.origins) * self.normals, axis=1))
        named = location.frame_of_reference_uid
        for place in np.argsort(distances, kind="stable").tolist():
            near = self.planes[place]
            if named and near.space and near.space != named:
                continue
            if distances[place] <= near.reach:
                seen, away = near.plane.seen(points)
                if float(np.ptp(away)) > near.reach:
                    seen, _ = near.plane.seen(centre)
                yield from self._shaped(location.kind, seen, near.index)
            return

    def _shaped(self, kind: LocationKind, points: Points, index: int) -> Iterator[tuple[int, Points]]:
        """The part inside of the image, if there is any."""
        source = self.frames[index].source
        limits = (float(source.Columns), float(source.Rows))
        if kind is LocationKind.BOX and len(points) >= 2:
            (left, top), (right, bottom) = points[:2].tolist()
            points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        elif kind in (LocationKind.POINT, LocationKind.POINT_3D):
            points = points[:1]
        if not bool(np.any((points.max(axis=0) < 0) | (points.min(axis=0) > limits))):
            inside: Points = np.clip(points, 0.0, limits)
            yield index, inside[:: -(-len(inside) // MOST_POINTS)]
