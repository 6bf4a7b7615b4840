"""Size of a volume or image → size after resampling, and the windows of it that the graph is given. Pure.

A window that reaches beyond the resampled grid is padded there; several windows are tiles that overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from engines.input_policy import InputPolicy, Tiles
from schemas.errors import InvalidInput


@dataclass(frozen=True)
class Placement:
    """Where the graph's input lies; all sizes along the model's axes x, y (and z).

    Attributes
    ----------
    native
        Voxels as acquired.
    scaled
        Voxels after resampling over the same field of view.
    window
        Voxels that the graph is given at once.
    starts
        First voxel of each window on the scaled grid; negative where it begins with padding.
    cropped
        Whether something lies in no window.
    """

    native: tuple[int, ...]
    scaled: tuple[int, ...]
    window: tuple[int, ...]
    starts: tuple[tuple[int, ...], ...]
    cropped: bool = False

    def inside(self, start: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Part of the scaled grid that a window covers, and that part inside of the window."""
        grid, window = [], []
        for first, size, length in zip(start, self.scaled, self.window, strict=True):
            low, high = max(first, 0), min(first + length, size)
            grid.append(slice(low, high))
            window.append(slice(low - first, high - first))
        return tuple(grid), tuple(window)


def placed(
    policy: InputPolicy, native: tuple[int, ...], spacing_mm: tuple[float, ...] | None, graph: tuple[int, ...]
) -> Placement:
    """How a volume or image is fitted into the graph's grid.

    Parameters
    ----------
    policy
        What the model wants.
    native
        Size along the model's axes.
    spacing_mm
        Of the native voxels, along the same axes; ``None`` where it is unknown.
    graph
        Size of the graph's grid, -1 where it takes any.

    Raises
    ------
    InvalidInput
        The spacing is not known and needed, or the images are larger than the graph takes.
    """
    scaled = _scaled(policy, native, spacing_mm, graph)
    window = tuple(
        -(-size // policy.multiple_of) * policy.multiple_of if fixed == -1 else fixed
        for size, fixed in zip(scaled, graph, strict=True)
    )
    if policy.tiles is not None:
        along = [_tiles(size, length, policy.tiles) for size, length in zip(scaled, window, strict=True)]
        return Placement(native, scaled, window, tuple(product(*along)))
    larger = any(size > length for size, length in zip(scaled, window, strict=True))
    if larger and not policy.crop:
        raise InvalidInput(
            f"the images are {_text(scaled)} voxels after resampling and the model takes {_text(window)}: "
            "send a smaller field of view, or declare tiles or crop in metadata.json"
        )
    centred = tuple(-((length - size) // 2) for size, length in zip(scaled, window, strict=True))
    return Placement(native, scaled, window, (centred,), larger)


def weights(placement: Placement, tiles: Tiles | None) -> tuple[NDArray[np.float32], ...]:
    """How much each voxel of a window counts where windows overlap, along each axis; never 0."""
    made = []
    for length in placement.window:
        if tiles is None or tiles.weighting == "constant":
            made.append(np.ones(length, np.float32))
            continue
        away = (np.arange(length) - (length - 1) / 2) / (length / 8)
        made.append(np.maximum(np.exp(-0.5 * away * away), 1e-3).astype(np.float32))
    return tuple(made)


def _scaled(
    policy: InputPolicy, native: tuple[int, ...], spacing_mm: tuple[float, ...] | None, graph: tuple[int, ...]
) -> tuple[int, ...]:
    if policy.resampling == "field-of-view":
        return graph
    if policy.resampling == "letterbox":
        factor = min(length / size for size, length in zip(native, graph, strict=True))
        return tuple(min(length, max(1, round(size * factor))) for size, length in zip(native, graph, strict=True))
    if policy.resampling == "none":
        return native
    if spacing_mm is None:
        raise InvalidInput("the images have no PixelSpacing and the model needs them at a spacing: send it")
    return tuple(
        max(1, round(size * spacing / wanted))
        for size, spacing, wanted in zip(native, spacing_mm, policy.spacing_mm, strict=True)
    )


def _tiles(size: int, length: int, tiles: Tiles) -> list[int]:
    if size <= length:
        return [-((length - size) // 2)]
    step = max(1, int(length * (1 - tiles.overlap)))
    count = -(-(size - length) // step) + 1
    return [round(start) for start in np.linspace(0, size - length, count)]


def _text(size: tuple[int, ...]) -> str:
    return " × ".join(str(length) for length in size)
