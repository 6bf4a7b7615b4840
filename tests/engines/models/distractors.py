"""What looks like blood in a head CT and is none: shapes that are painted into a phantom, by kind of head.

Places are in millimetres in patient coordinates (LPS, the middle of the head at 0). Guarantee: the same generator
gives the same shapes. Other seeds than those that are reported served to choose numbers of the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from engines.base import Volume32

Grid = tuple[Volume32, Volume32, Volume32]
Mask = NDArray[np.bool_]
Point = tuple[float, float, float]
Kind = Literal["nothing", "calcium", "falx and tentorium", "dense sinuses", "streaks", "contrast"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(frozen=True)
class Blob:
    """An ellipsoid, such as calcium."""

    centre_mm: Point
    radii_mm: Point
    hu: float

    def paint(self, hu: Volume32, at: Grid, room: Mask) -> None:
        """Set what lies within, where there is room."""
        if np.abs(at[2] - self.centre_mm[2]).min() < self.radii_mm[2]:
            places = zip(at, self.centre_mm, self.radii_mm, strict=True)
            x, y, z = ((axis - middle) / radius for axis, middle, radius in places)
            hu[(x**2 + y**2 + z**2 < 1) & room] = self.hu


@dataclass(frozen=True)
class Tube:
    """A vessel or sinus along a chain of points."""

    points_mm: tuple[Point, ...]
    radius_mm: float
    hu: float

    def paint(self, hu: Volume32, at: Grid, room: Mask) -> None:
        """Set what lies near the chain, where there is room."""
        low, high = float(at[2].min()), float(at[2].max())
        for start, end in zip(self.points_mm, self.points_mm[1:], strict=False):
            if max(start[2], end[2]) + self.radius_mm < low or min(start[2], end[2]) - self.radius_mm > high:
                continue
            way = np.subtract(end, start).astype(np.float32)
            share = sum((axis - from_) * step for axis, from_, step in zip(at, start, way, strict=True))
            share = np.clip(share / np.float32(way @ way), 0, 1)
            away = sum(
                (axis - from_ - share * step) ** 2 for axis, from_, step in zip(at, start, way, strict=True)
            )
            hu[(away < self.radius_mm**2) & room] = self.hu


@dataclass(frozen=True)
class Sheet:
    """A thick falx between the hemispheres, and the tentorium above the cerebellum."""

    thickness_mm: float
    hu: float

    def paint(self, hu: Volume32, at: Grid, room: Mask) -> None:
        """Set what lies in either."""
        x, y, z = at
        falx = (np.abs(x) < self.thickness_mm / 2) & (z > 12)
        tent = (np.abs(z - 8 + 0.45 * np.abs(x)) < self.thickness_mm / 2 * 1.1) & (y > 18)
        hu[(falx | tent) & room] = self.hu


@dataclass(frozen=True)
class Streaks:
    """Bright and dark stripes of beam hardening between the petrous bones."""

    height_hu: float
    distance_mm: float

    def paint(self, hu: Volume32, at: Grid, room: Mask) -> None:
        """Add them to what is there."""
        x, y, z = at
        if z.min() > -10:
            return
        near = np.exp(-(((y - 12) / 18) ** 2) - ((z + 40) / 8) ** 2 - (x / 40) ** 4)
        hu += np.where(room, self.height_hu * np.cos(2 * np.pi * (y - 12) / self.distance_mm) * near, 0)


Shape = Blob | Tube | Sheet | Streaks


def distractors(draw: np.random.Generator, kind: Kind) -> tuple[Shape, ...]:
    """Shapes of one kind, as varied as heads are."""
    match kind:
        case "nothing":
            return ()
        case "calcium":
            return tuple(_calcium(draw))
        case "falx and tentorium":
            return (Sheet(float(draw.uniform(1.5, 4)), float(draw.uniform(48, 66))),)
        case "dense sinuses":
            return _sinuses(float(draw.uniform(2.5, 4.5)), float(draw.uniform(48, 66)))
        case "streaks":
            return (Streaks(float(draw.uniform(6, 22)), float(draw.uniform(8, 16))),)
        case "contrast":
            vessel, sinus = float(draw.uniform(140, 300)), float(draw.uniform(110, 190))
            return (*_arteries(float(draw.uniform(1, 2)), vessel), *_sinuses(float(draw.uniform(2.5, 4.5)), sinus))


def _calcium(draw: np.random.Generator) -> list[Shape]:
    """Pineal gland, choroid plexus, basal ganglia on both sides, a plaque on the falx."""
    made: list[Shape] = []
    places: tuple[tuple[Point, float, bool], ...] = (
        ((0.0, 18.0, 4.0), 4.5, False),
        ((17.0, 24.0, 8.0), 5.0, True),
        ((22.0, -6.0, 4.0), 6.0, True),
        ((0.0, -30.0, 50.0), 6.0, False),
    )
    for (x, y, z), largest, paired in places:
        if draw.random() < 0.3:
            continue
        radius, hu = float(draw.uniform(1.5, largest)), float(draw.uniform(100, 400))
        thin = (min(radius, 2.0) if x == 0 and z > 20 else radius, radius, radius * 0.8)
        made += [Blob((side * x, y, z), thin, hu) for side in ((-1, 1) if paired else (1,))]
    return made


def _sinuses(radius_mm: float, hu: float) -> tuple[Shape, ...]:
    """Superior sagittal and both transverse sinuses, against the bone."""
    along = np.radians(np.arange(-45, 91, 9))
    sagittal = tuple((0.0, 80.0 * float(np.sin(a)), 74.0 * float(np.cos(a))) for a in along)
    turns = np.radians(np.arange(0, 66, 13))
    sides = [
        tuple((s * 63.0 * float(np.sin(a)), 79.0 * float(np.cos(a)), -9.0 * float(np.sin(a))) for a in turns)
        for s in (-1, 1)
    ]
    return (Tube(sagittal, radius_mm, hu), *(Tube(side, radius_mm * 0.9, hu) for side in sides))


def _arteries(radius_mm: float, hu: float) -> tuple[Shape, ...]:
    """Basilar, anterior and both middle cerebral arteries."""
    middle = [
        ((s * 8.0, -6.0, -12.0), (s * 22.0, -10.0, -10.0), (s * 38.0, -12.0, -4.0), (s * 48.0, -4.0, 8.0))
        for s in (-1, 1)
    ]
    anterior = ((0.0, -18.0, -10.0), (0.0, -44.0, 4.0), (0.0, -40.0, 28.0), (0.0, -14.0, 38.0))
    basilar = ((0.0, 12.0, -44.0), (0.0, 6.0, -14.0))
    thick = radius_mm * 1.2
    return (Tube(basilar, thick, hu), Tube(anterior, radius_mm, hu), *(Tube(way, thick, hu) for way in middle))
