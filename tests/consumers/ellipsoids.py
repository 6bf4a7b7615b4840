"""Small ellipsoids in the demo series: their voxels, and places within them in each form of the contract."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from schemas.values import Location, LocationKind

SLICES, ROWS, COLUMNS = 20, 256, 256


@dataclass(frozen=True)
class Ellipsoid:
    """Centre and half axes in voxels (slice, row, column); the whole lies inside the volume."""

    centre: tuple[float, float, float]
    half: tuple[float, float, float]

    def slices(self) -> range:
        """Numbers of the slices that it goes through."""
        middle, half = self.centre[0], self.half[0]
        return range(math.floor(middle - half) + 1, math.ceil(middle + half))

    def volume_ml(self) -> float:
        """Volume, for voxels of 0.859375 x 0.859375 x 7 mm."""
        voxel_mm3 = 0.859375**2 * 7
        return 4 / 3 * math.pi * math.prod(self.half) * voxel_mm3 / 1000


def some_ellipsoid(chance: random.Random) -> Ellipsoid:
    """An ellipsoid of one to seven slices."""
    half = (chance.uniform(0.6, 3.2), chance.uniform(4, 30), chance.uniform(4, 30))
    size = (SLICES, ROWS, COLUMNS)
    centre = tuple(
        float(chance.randint(math.ceil(h) + 1, n - math.ceil(h) - 2)) for h, n in zip(half, size, strict=True)
    )
    return Ellipsoid((centre[0], centre[1], centre[2]), half)


def inside(body: Ellipsoid) -> npt.NDArray[np.float64]:
    """For each voxel how far out it is, squared: below 1 inside."""
    axes = np.ogrid[0:SLICES, 0:ROWS, 0:COLUMNS]
    parts = [
        ((axis - middle) / half) ** 2 for axis, middle, half in zip(axes, body.centre, body.half, strict=True)
    ]
    total: npt.NDArray[np.float64] = parts[0] + parts[1] + parts[2]
    return total


def locations(
    chance: random.Random, body: Ellipsoid, sources: Sequence[Dataset], kinds: int | None = None
) -> tuple[Location, ...]:
    """None to three places of different kinds, or as many as asked for."""
    count = chance.choice((0, 1, 1, 2, 3)) if kinds is None else kinds
    return tuple(_location(kind, chance, body, sources) for kind in chance.sample(list(LocationKind), count))


def _location(kind: LocationKind, chance: random.Random, body: Ellipsoid, sources: Sequence[Dataset]) -> Location:
    number = chance.choice(body.slices())
    outline = _outline(body, number, chance.randint(3, 24))
    _, row, column = body.centre
    corners = [
        (row - body.half[1] / 2, column - body.half[2] / 2),
        (row + body.half[1] / 2, column + body.half[2] / 2),
    ]
    on_image = {
        LocationKind.POINT: [(row, column)],
        LocationKind.CONTOUR: outline,
        LocationKind.BOX: corners,
    }.get(kind)
    if on_image is not None:
        # voxel centres are whole numbers here; on an image (0, 0) is the outer corner of the first pixel
        points = tuple(round(part + 0.5, 3) for r, c in on_image for part in (c, r))
        return Location(kind, points, sop_instance_uid=str(sources[number].SOPInstanceUID))
    in_patient = [(row, column)] if kind is LocationKind.POINT_3D else outline
    source = sources[number]
    return Location(
        kind,
        tuple(part for place in in_patient for part in _millimetres(source, *place)),
        frame_of_reference_uid=str(source.FrameOfReferenceUID),
    )


def _outline(body: Ellipsoid, number: int, corners: int) -> list[tuple[float, float]]:
    """Rows and columns of the ellipse in which a slice cuts the body."""
    shrink = math.sqrt(max(0.05, 1 - ((number - body.centre[0]) / body.half[0]) ** 2))
    turns = [2 * math.pi * corner / corners for corner in range(corners)]
    _, row, column = body.centre
    return [
        (row + shrink * body.half[1] * math.sin(turn), column + shrink * body.half[2] * math.cos(turn))
        for turn in turns
    ]


def _millimetres(source: Dataset, row: float, column: float) -> tuple[float, ...]:
    """Place in the patient of a voxel's centre (PS3.3 C.7.6.2.1.1)."""
    along_row = np.array(source.ImageOrientationPatient[:3], float) * float(source.PixelSpacing[1])
    along_column = np.array(source.ImageOrientationPatient[3:], float) * float(source.PixelSpacing[0])
    place = np.array(source.ImagePositionPatient, float) + column * along_row + row * along_column
    return tuple(round(float(part), 3) for part in place)
