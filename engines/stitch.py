"""Answers for windows of a sample → one answer over its resampled grid; where windows overlap, their mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.input_policy import Tiles
from engines.placement import Placement, weights
from schemas.errors import InvalidInput

Floats = NDArray[np.float32]


class Stitcher:
    """Collects the windows of one sample.

    Parameters
    ----------
    placement
        Where the windows lie.
    tiles
        How they count where they overlap.
    """

    def __init__(self, placement: Placement, tiles: Tiles | None) -> None:
        self._placement = placement
        self._left = len(placement.starts)
        self._single = self._left == 1
        self._along = weights(placement, tiles)
        self._sum: Floats | None = None

    def add(self, start: tuple[int, ...], answer: Floats, name: str) -> Floats | None:
        """Take the answer of one window, axes x, y (and z), channels; the whole one after the last.

        Raises
        ------
        InvalidInput
            It has another size than the window.
        """
        placement = self._placement
        spatial = len(placement.window)
        if answer.shape[:spatial] != placement.window:
            raise InvalidInput(
                f"the output {name} has the size {list(answer.shape[:spatial])} and the input "
                f"{list(placement.window)}: correct metadata.json or the model"
            )
        inside, at = placement.inside(start)
        if self._single and placement.scaled == placement.window:
            return answer
        if self._sum is None:
            self._sum = np.zeros((*placement.scaled, *answer.shape[spatial:]), np.float32)
        if self._single:
            self._sum[inside] = answer[at]
            return self._sum
        self._sum[inside] += answer[at] * self._weight(at)
        self._left -= 1
        return self._mean() if self._left == 0 else None

    def _weight(self, at: tuple[slice, ...]) -> Floats:
        weight = np.ones((), np.float32)
        for axis, part in enumerate(at):
            shape = [-1 if index == axis else 1 for index in range(len(at) + 1)]
            weight = weight * self._along[axis][part].reshape(shape)
        return weight

    def _mean(self) -> Floats:
        """Windows are all combinations of places along the axes, so their weights multiply."""
        placement = self._placement
        made = self._sum
        if made is None:
            raise InvalidInput("the model gave no answer for any part of the images")
        for axis, size in enumerate(placement.scaled):
            total = np.zeros(size, np.float32)
            for first in sorted({start[axis] for start in placement.starts}):
                low, high = max(first, 0), min(first + placement.window[axis], size)
                total[low:high] += self._along[axis][low - first : high - first]
            made /= total.reshape([-1 if index == axis else 1 for index in range(made.ndim)])
        return made
