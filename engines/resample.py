"""Native grid ↔ the model's grid: orientation, interpolation over the whole field of view.

Grids share their outer faces: voxel ``i`` of ``n`` has its centre at ``(i + ½) / n`` of the field of view, so a
grid resampled to its own size is unchanged. Interpolation is separable, one axis after the other, axes that shrink
first; a volume is resampled while its slices are decoded, so that it never lies in memory at its native size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from engines.base import Volume32

Interpolation = Literal["linear", "nearest"]

#: Ends of the patient axes in patient coordinates (LPS, PS3.3 C.7.6.2.1.1).
_TOWARDS: Final = {
    "R": (-1, 0, 0),
    "L": (1, 0, 0),
    "A": (0, -1, 0),
    "P": (0, 1, 0),
    "S": (0, 0, 1),
    "I": (0, 0, -1),
}


@dataclass(frozen=True)
class Orientation:
    """Which native axis becomes x, y, z of the model, and which of them are turned round.

    Attributes
    ----------
    axes
        Native axis of x, y and z.
    flipped
        Whether x, y, z run against their native axis.
    tilt_degrees
        Largest angle between a native axis and the patient axis that it is taken for.
    """

    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    tilt_degrees: float

    def to_grid(self, native: NDArray[Any]) -> NDArray[Any]:
        """View of a native array with axes x, y, z."""
        return native.transpose(self.axes)[self._turn()]

    def to_native(self, grid: NDArray[Any]) -> NDArray[Any]:
        """View of an array x, y, z with the native axes; undoes :meth:`to_grid`."""
        return grid[self._turn()].transpose(tuple(np.argsort(self.axes)))

    def native_flips(self) -> tuple[bool, bool, bool]:
        """Whether slices, rows, columns are turned round."""
        first, second, third = (self.flipped[self.axes.index(axis)] for axis in range(3))
        return (first, second, third)

    def _turn(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if flipped else None) for flipped in self.flipped)


#: As acquired: x along columns, y along rows, z along slices.
NATIVE: Final = Orientation((2, 1, 0), (False, False, False), 0.0)


def orientation_of(affine: NDArray[np.float64], towards: str = "RAS") -> Orientation:
    """Nearest order of a grid's axes that runs towards three ends of the patient.

    Parameters
    ----------
    affine
        4 × 4, voxel index → patient coordinates (LPS).
    towards
        Where x, y, z point to, such as RAS; ``native`` gives the order of acquisition.
    """
    named = "RAS" if towards == "native" else towards
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = np.array([_TOWARDS[end] for end in named], np.float64) @ directions  # rows: x, y, z; columns: native
    order: tuple[int, int, int] = max(
        ((x, y, z) for x, y, z in permutations(range(3))),
        key=lambda axes: sum(abs(cosines[patient, native]) for patient, native in enumerate(axes)),
    )
    chosen = [float(cosines[patient, native]) for patient, native in enumerate(order)]
    tilt = max(float(np.degrees(np.arccos(min(1.0, abs(cosine))))) for cosine in chosen)
    if towards == "native":
        return Orientation(NATIVE.axes, NATIVE.flipped, tilt)
    return Orientation(order, (chosen[0] < 0, chosen[1] < 0, chosen[2] < 0), tilt)


def resample(volume: Volume32, shape: tuple[int, ...], interpolation: Interpolation = "linear") -> Volume32:
    """Interpolation of an array to another grid over the same field of view.

    Parameters
    ----------
    volume
        float32, two or three axes, and perhaps one of channels at the end.
    shape
        Size of the new grid.
    interpolation
        Between neighbours, or the nearest one.

    Returns
    -------
    ndarray
        float32, C-contiguous. Beyond the outermost centres the outermost value goes on.
    """
    # axes that shrink come first: the intermediate arrays stay small
    for axis in sorted(range(len(shape)), key=lambda axis: shape[axis] / volume.shape[axis]):
        volume = _along(volume, axis, shape[axis], interpolation)
    return np.ascontiguousarray(volume)


def resample_slices(
    planes: Iterable[Volume32],
    native: tuple[int, int, int],
    shape: tuple[int, int, int],
    order: Sequence[int] = (0, 1, 2),
    interpolation: Interpolation = "linear",
) -> Iterator[Volume32 | None]:
    """:func:`resample` of a volume that comes slice by slice, with the same result to the last bit.

    Parameters
    ----------
    planes
        float32 (rows, columns), as many as ``native`` says, each used only until the next comes.
    native
        Size of the volume.
    shape
        Size of the new grid.
    order
        Which axis goes first among those that shrink alike.
    interpolation
        Between neighbours, or the nearest one.

    Yields
    ------
    ndarray or None
        ``None`` after each plane, and the new volume, C-contiguous, at the end.
    """
    axes = sorted(order, key=lambda axis: shape[axis] / native[axis])
    before, after = axes[: axes.index(0)], axes[axes.index(0) + 1 :]
    below, above, weight = _neighbours(native[0], shape[0], interpolation)
    made: Volume32 | None = None
    lower = upper = np.empty((0, 0), np.float32)
    done = 0
    for index, plane in enumerate(planes):
        for axis in before:
            plane = _along(plane, axis - 1, shape[axis], interpolation)
        lower, upper = upper, plane
        while done < shape[0] and above[done] <= index:
            mixed = _between(upper if below[done] == index else lower, upper, weight[done])
            for axis in after:
                mixed = _along(mixed, axis - 1, shape[axis], interpolation)
            if made is None:
                made = np.empty(shape, np.float32)
            made[done] = mixed
            done += 1
        yield None
    yield made


def slices_at_least(
    volume: Volume32, shape: tuple[int, int, int], threshold: float
) -> Iterator[NDArray[np.bool_]]:
    """:func:`resample`, thresholded, slice by slice: a large native grid is never held as floats.

    Yields
    ------
    ndarray
        bool, shape ``shape[1:]``: where the interpolated value is at least ``threshold``.
    """
    below, above, weight = _neighbours(volume.shape[0], shape[0])
    empty = np.zeros(shape[1:], np.bool_)
    peak = volume.max(axis=(1, 2))
    for low, high, share in zip(below, above, weight, strict=True):
        if max(peak[low], peak[high]) < threshold:
            yield empty  # an average is never above the larger of its parts
            continue
        plane = volume[low] * (1 - share) + volume[high] * share
        yield resample(plane, shape[1:]) >= threshold


def _along(volume: Volume32, axis: int, size: int, interpolation: Interpolation = "linear") -> Volume32:
    if volume.shape[axis] == size:
        return volume
    below, above, weight = _neighbours(volume.shape[axis], size, interpolation)
    low = volume.take(below, axis)
    if interpolation == "nearest":
        return low
    weight = weight.reshape([-1 if index == axis else 1 for index in range(volume.ndim)])
    return _between(low, volume.take(above, axis), weight)


def _between(low: Volume32, high: Volume32, weight: NDArray[np.float32] | np.float32) -> Volume32:
    step = high - low
    step *= weight
    step += low
    return step


@lru_cache(maxsize=64)  # asked for each slice of a volume
def _neighbours(
    size: int, new_size: int, interpolation: Interpolation = "linear"
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Indices on either side of each new centre, and the share of the upper one; for reading only."""
    centres = np.clip((np.arange(new_size) + 0.5) * (size / new_size) - 0.5, 0, size - 1)
    if interpolation == "nearest":
        nearest = np.floor(centres + 0.5).astype(np.intp)
        return nearest, nearest, np.zeros(new_size, np.float32)
    below = np.floor(centres).astype(np.intp)
    above = np.minimum(below + 1, size - 1)
    return below, above, (centres - below).astype(np.float32)
