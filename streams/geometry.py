"""Orientation and position of single images → how the slices of a series lie. Pure, and in any order.

Positions are kept in hundredths of a millimetre along the normal, each once: the content of a series is then the
same however its images came, and a changelog keeps it in a few bytes a slice (PS3.3 C.7.6.2).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final

#: Slices of several orientations: neither of them.
MIXED: Final = "mixed"

_NAMES: Final = ("sagittal", "coronal", "axial")
#: A normal within 30 degrees of an axis of the patient belongs to it, so that a tilted gantry is axial still.
_WITHIN: Final = math.cos(math.radians(30)) - 1e-6
#: A position further away, in mm, is a mistake.
_FAR_MM: Final = 1e6
_PER_MM: Final = 100

Normal = tuple[float, float, float]


def normal_of(orientation: tuple[float, ...]) -> Normal | None:
    """Unit normal of an image by (0020,0037); ``None`` when that is no pair of directions."""
    if len(orientation) != 6 or not all(math.isfinite(value) for value in orientation):
        return None
    row, column = orientation[:3], orientation[3:]
    across = (
        row[1] * column[2] - row[2] * column[1],
        row[2] * column[0] - row[0] * column[2],
        row[0] * column[1] - row[1] * column[0],
    )
    length = math.hypot(*across)
    # unit vectors at a right angle give 1; far from it, the attribute is wrong
    if not 0.9 < length < 1.1:
        return None
    return across[0] / length, across[1] / length, across[2] / length


def orientation_name(normal: Normal) -> str:
    """``axial``, ``coronal``, ``sagittal`` or ``oblique``."""
    largest = max(range(3), key=lambda axis: abs(normal[axis]))
    return _NAMES[largest] if abs(normal[largest]) >= _WITHIN else "oblique"


def place_along(normal: Normal, position: tuple[float, ...]) -> int | None:
    """Hundredths of a millimetre along the normal of (0020,0032); ``None`` when that is no position."""
    if len(position) != 3 or not all(math.isfinite(value) and abs(value) < _FAR_MM for value in position):
        return None
    return round(math.fsum(one * other for one, other in zip(normal, position, strict=True)) * _PER_MM)


def range_mm(places: Collection[int]) -> tuple[float, ...]:
    """First and last place in mm; empty without any."""
    return (min(places) / _PER_MM, max(places) / _PER_MM) if places else ()


def spacing_mm(places: Collection[int]) -> float | None:
    """Mean distance of neighbouring slices in mm; ``None`` for fewer than two places."""
    if len(places) < 2:
        return None
    return round((max(places) - min(places)) / (len(places) - 1) / _PER_MM, 4)
