"""Native grid ↔ the model's grid: orientation to RAS, linear interpolation over the whole field of view.

Grids share their outer faces: voxel ``i`` of ``n`` has its centre at ``(i + ½) / n`` of the field of view, so a
grid resampled to its own size is unchanged. Interpolation is separable, one axis after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.base import Volume32


@dataclass(frozen=True)
class Orientation:
    """Which native axis becomes x (right), y (anterior), z (superior), and which of them are turned round.

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

    def to_ras(self, native: NDArray[Any]) -> NDArray[Any]:
        """View of a native array with axes x, y, z."""
        return native.transpose(self.axes)[self._turn()]

    def to_native(self, ras: NDArray[Any]) -> NDArray[Any]:
        """View of an array with axes x, y, z in native axis order; undoes :meth:`to_ras`."""
        return ras[self._turn()].transpose(np.argsort(self.axes))

    def _turn(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if turned else 1) for turned in self.flipped)


def orientation_of(affine: NDArray[np.float64]) -> Orientation:
    """Nearest right-anterior-superior order of a grid's axes.

    Parameters
    ----------
    affine
        4 × 4, voxel index → patient coordinates (LPS).
    """
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = np.diag([-1.0, -1.0, 1.0]) @ directions  # rows: right, anterior, superior; columns: native axes
    order: tuple[int, int, int] = max(
        ((x, y, z) for x, y, z in permutations(range(3))),
        key=lambda axes: sum(abs(cosines[patient, native]) for patient, native in enumerate(axes)),
    )
    chosen = [float(cosines[patient, native]) for patient, native in enumerate(order)]
    tilt = max(float(np.degrees(np.arccos(min(1.0, abs(cosine))))) for cosine in chosen)
    return Orientation(order, (chosen[0] < 0, chosen[1] < 0, chosen[2] < 0), tilt)


def resample(volume: Volume32, shape: tuple[int, ...]) -> Volume32:
    """Linear interpolation of a volume to another grid over the same field of view.

    Parameters
    ----------
    volume
        float32, three axes.
    shape
        Size of the new grid.

    Returns
    -------
    ndarray
        float32, C-contiguous. Beyond the outermost centres the outermost value goes on.
    """
    # axes that shrink come first: the intermediate arrays stay small
    for axis in sorted(range(volume.ndim), key=lambda axis: shape[axis] / volume.shape[axis]):
        volume = _along(volume, axis, shape[axis])
    return np.ascontiguousarray(volume)


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


def _along(volume: Volume32, axis: int, size: int) -> Volume32:
    if volume.shape[axis] == size:
        return volume
    below, above, weight = _neighbours(volume.shape[axis], size)
    weight = weight.reshape([-1 if index == axis else 1 for index in range(volume.ndim)])
    low = volume.take(below, axis)
    step = volume.take(above, axis)
    step -= low
    step *= weight
    step += low
    return step


def _neighbours(size: int, new_size: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Indices on either side of each new centre, and the share of the upper one."""
    centres = np.clip((np.arange(new_size) + 0.5) * (size / new_size) - 0.5, 0, size - 1)
    below = np.floor(centres).astype(np.intp)
    above = np.minimum(below + 1, size - 1)
    return below, above, (centres - below).astype(np.float32)
