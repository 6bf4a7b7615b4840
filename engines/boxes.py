"""Boxes of any number of axes: overlap, suppression of those that show the same, joining over slices. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: (n, 2, axes): lowest and highest corner.
Boxes = NDArray[np.float64]


def overlaps(box: NDArray[np.float64], boxes: Boxes) -> NDArray[np.float64]:
    """Intersection over union of one box (2, axes) with each of others; 0 where one is empty."""
    low = np.maximum(box[0], boxes[:, 0])
    high = np.minimum(box[1], boxes[:, 1])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    union = np.prod(box[1] - box[0]) + np.prod(boxes[:, 1] - boxes[:, 0], axis=1) - shared
    share: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return share


def suppressed(boxes: Boxes, scores: NDArray[np.float64], limit: float) -> list[int]:
    """Indexes of the boxes that overlap no better one by more than a limit, best first.

    Parameters
    ----------
    boxes
        Of one class.
    scores
        One each; of equal ones the first is better.
    limit
        Intersection over union.
    """
    left = np.argsort(-scores, kind="stable")
    kept = []
    while len(left):
        best, left = int(left[0]), left[1:]
        kept.append(best)
        left = left[overlaps(boxes[best], boxes[left]) <= limit]
    return kept


def joined(places: list[int], boxes: Boxes, limit: float) -> list[int]:
    """Group of each box: those of neighbouring slices that overlap are one thing.

    Parameters
    ----------
    places
        Slice of each box.
    boxes
        Of one class.
    limit
        Intersection over union from which on they are one.
    """
    group = list(range(len(places)))

    def root(index: int) -> int:
        while group[index] != index:
            group[index] = group[group[index]]
            index = group[index]
        return index

    by_place: dict[int, list[int]] = {}
    for index, place in enumerate(places):
        by_place.setdefault(place, []).append(index)
    for place, here in by_place.items():
        following = by_place.get(place + 1, [])
        for index in here:
            if following:
                for other in np.flatnonzero(overlaps(boxes[index], boxes[following]) >= limit):
                    group[root(following[int(other)])] = root(index)
    return [root(index) for index in range(len(places))]
