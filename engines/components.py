"""Mask → its connected components: the small ones left out, or only the largest kept."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]


def keep_components(
    mask: Mask, keep: Literal["all", "largest-component"], minimum_voxels: float, *, joined: bool = True
) -> tuple[Mask, int]:
    """Parts of a mask that are kept, and how many they are.

    Parameters
    ----------
    mask
        Shape (slices, rows, columns).
    keep
        All components, or of the largest ones the first.
    minimum_voxels
        Components with fewer are left out.
    joined
        Whether voxels of neighbouring slices touch; those of one slice touch by faces.
    """
    box = bounding_box(mask)
    if box is None:
        return mask, 0
    structure = ndimage.generate_binary_structure(3, 1)
    if not joined:
        structure[0] = structure[2] = False
    labels, count = ndimage.label(mask[box], structure)
    if count == 1 and minimum_voxels <= 1:
        return mask, 1
    sizes = _sizes(labels, count)
    kept_labels = sizes >= max(minimum_voxels, 1)
    kept_labels[0] = False
    if keep == "largest-component":
        largest = 1 + int(np.argmax(sizes[1:]))
        kept_labels &= np.arange(count + 1) == largest
    kept = np.zeros_like(mask)
    kept[box] = kept_labels[labels]
    return kept, int(np.count_nonzero(kept_labels))


def _sizes(labels: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Voxels of each component; slice by slice, because counting makes an int64 copy and lets no thread in."""
    sizes = np.zeros(count + 1, np.int64)
    for plane in labels:
        found = np.bincount(plane.ravel())
        sizes[: len(found)] += found
    return sizes


def areas(mask: Mask) -> NDArray[np.int64]:
    """Voxels of a mask in each slice."""
    return np.array([np.count_nonzero(plane) for plane in mask], np.int64)


def bounding_box(mask: Mask) -> tuple[slice, slice, slice] | None:
    """Smallest box that holds a mask; ``None`` where it is empty."""
    slices = np.flatnonzero([plane.any() for plane in mask])
    if not len(slices):
        return None
    part = mask[slices[0] : slices[-1] + 1]
    plane = np.zeros(mask.shape[1:], np.bool_)
    for image in part:
        plane |= image
    rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    return (
        slice(int(slices[0]), int(slices[-1]) + 1),
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(columns[0]), int(columns[-1]) + 1),
    )
