"""Mask of one image → the closed lines around it, as DICOM coordinates of that image.

The lines follow the edges between pixels, so they enclose exactly the voxels of the mask: (0, 0) is the outer
corner of the first pixel (PS3.3 C.18.6.1.1), and every vertex is a corner of a pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

#: (0070,0022) Graphic Data is FL, whose length is written in 16 bits (PS3.5 7.1.2): 8191 pairs of four bytes each.
MOST_POINTS: Final = 8000

_EAST, _SOUTH, _WEST, _NORTH = range(4)


def outlines(mask: npt.NDArray[np.bool_], *, holes: bool = False) -> list[Points]:
    """Closed lines around the regions of a mask, the largest region first.

    Parameters
    ----------
    mask
        Booleans (rows, columns). Pixels that touch only at a corner are regions of their own.
    holes
        Whether the lines around holes are given too, after those around regions.

    Returns
    -------
    list of ndarray
        Each (n, 2) of column and row, 4 ≤ n ≤ :data:`MOST_POINTS`, clockwise on the screen around a region and
        counter-clockwise around a hole; the first point is not repeated at the end. A line with more corners is
        thinned evenly.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    # a lesion is small and an image large
    window = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    corner = np.array([columns[0], rows[0]], dtype=np.float64)
    lines = [(_doubled_area(line), line + corner) for line in _lines(_runs_by_start(window))]
    kept = [pair for pair in lines if holes or pair[0] > 0]
    kept.sort(key=lambda pair: (-pair[0], *pair[1][0]))
    return [_thinned(line) for _, line in kept]


def _runs_by_start(mask: npt.NDArray[np.bool_]) -> dict[tuple[int, int, int], tuple[int, int]]:
    """(column, row, direction) of each straight piece of the border → where it ends; the mask is on its right."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    found: dict[tuple[int, int, int], tuple[int, int]] = {}
    for row, start, stop in _runs(inside & ~padded[:-2, 1:-1]):
        found[start, row, _EAST] = stop, row
    for row, start, stop in _runs(inside & ~padded[2:, 1:-1]):
        found[stop, row + 1, _WEST] = start, row + 1
    for column, start, stop in _runs((inside & ~padded[1:-1, 2:]).T):
        found[column + 1, start, _SOUTH] = column + 1, stop
    for column, start, stop in _runs((inside & ~padded[1:-1, :-2]).T):
        found[column, stop, _NORTH] = column, start
    return found


def _runs(edges: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """(line, start, stop) of each run of true values along the second axis."""
    changes = np.diff(np.pad(edges, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    lines, starts = np.nonzero(changes == 1)
    _, stops = np.nonzero(changes == -1)
    yield from zip(lines.tolist(), starts.tolist(), stops.tolist(), strict=True)


def _lines(runs: dict[tuple[int, int, int], tuple[int, int]]) -> Iterator[Points]:
    """Closed lines that the straight pieces make; empties ``runs``."""
    for column, row, direction in list(runs):
        corners: list[tuple[int, int]] = []
        while (end := runs.pop((column, row, direction), None)) is not None:
            corners.append((column, row))
            column, row = end
            right = (direction + 1) % 4
            direction = right if (column, row, right) in runs else (direction - 1) % 4
        if corners:
            yield np.asarray(corners, dtype=np.float64)


def _doubled_area(line: Points) -> float:
    after = np.roll(line, -1, axis=0)
    return float(np.sum(line[:, 0] * after[:, 1] - after[:, 0] * line[:, 1]))


def _thinned(line: Points) -> Points:
    step = -(-len(line) // MOST_POINTS)
    return line[::step]
