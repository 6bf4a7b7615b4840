"""Arrays of a caller + inputs of a graph → the arrays as the runtime wants them, or a word on what does not fit.

Runtimes say it each in their own way, some only by crashing. Guarantee: what comes out has every name of the graph
once, with its dtype and a shape that the graph allows, without gaps and in this machine's byte order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.base import Tensors
from engines.config_pbtxt import TensorSpec
from schemas.errors import InvalidInput


def fitting(specs: Sequence[TensorSpec], tensors: Tensors) -> dict[str, NDArray[Any]]:
    """Arrays in the order of the graph's inputs.

    Parameters
    ----------
    specs
        Inputs of the graph.
    tensors
        What the caller gave.

    Raises
    ------
    InvalidInput
        A name is missing or unknown, or an array has another dtype or shape.
    """
    names = [spec.name for spec in specs]
    if sorted(tensors) != sorted(names):
        raise InvalidInput(f"the model takes the inputs {names} and was given {sorted(tensors)}: name them so")
    arrays = {}
    for spec in specs:
        array = tensors[spec.name]
        if array.dtype.name != spec.dtype or not matches(spec.dims, array.shape):
            raise InvalidInput(
                f"input {spec.name} of the model is {spec.dtype} {list(spec.dims)} and was given "
                f"{array.dtype.name} {list(array.shape)}: make the array so (-1 stands for any size)"
            )
        arrays[spec.name] = np.ascontiguousarray(array, spec.dtype)  # this machine's byte order
    return arrays


def matches(dims: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether a shape is one of those that the dims allow (``-1``: any size but none)."""
    return len(dims) == len(shape) and all(
        size == dim or (dim < 0 < size) for dim, size in zip(dims, shape, strict=True)
    )
