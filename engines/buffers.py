"""Tensors of known shape → their places in one block of memory.

One block for all inputs and one for all outputs are one copy each way, however many tensors there are. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

#: Bytes; what ``cuMemAlloc`` aligns to, and more than TensorRT asks for.
ALIGNMENT: Final = 256


@dataclass(frozen=True)
class Place:
    """One tensor in a block; ``offset`` and ``size`` in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int

    def view(self, block: NDArray[np.uint8]) -> NDArray[Any]:
        """The tensor in its block, without a copy."""
        return block[self.offset : self.offset + self.size].view(self.dtype).reshape(self.shape)


@dataclass(frozen=True)
class Layout:
    """Places of tensors and the size of their block, in bytes (at least 1)."""

    places: tuple[Place, ...]
    size: int


def layout(tensors: Iterable[tuple[str, str, tuple[int, ...]]]) -> Layout:
    """Places one after the other, each aligned.

    Parameters
    ----------
    tensors
        Name, numpy dtype and shape of each; no axis is free.
    """
    places, end = [], 0
    for name, dtype, shape in tensors:
        if min(shape, default=0) < 0:
            raise ValueError(f"{name} has the shape {list(shape)}: only known shapes have a place")
        size = math.prod(shape) * np.dtype(dtype).itemsize
        places.append(Place(name, dtype, shape, end, size))
        end += -(-size // ALIGNMENT) * ALIGNMENT
    return Layout(tuple(places), max(end, 1))
