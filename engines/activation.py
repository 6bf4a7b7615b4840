"""Raw outputs → probabilities, and a check that what is called a probability is one."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from schemas.errors import InvalidInput

Floats = NDArray[np.float32]

#: Sigmoids computed in halves may exceed 1 by rounding.
_ROUNDING = 1e-2


def activated(values: Floats, activation: Literal["none", "sigmoid", "softmax"], name: str) -> Floats:
    """Probabilities of raw outputs; the last axis are channels or classes.

    Parameters
    ----------
    values
        Finite float32.
    activation
        What is left to do.
    name
        Of the output, for messages.

    Raises
    ------
    InvalidInput
        Nothing was declared to do and the values are no probabilities.
    """
    if activation == "sigmoid":
        # the two halves never overflow
        small = np.exp(-np.abs(values))
        return np.asarray(np.where(values >= 0, 1 / (1 + small), small / (1 + small)), np.float32)
    if activation == "softmax":
        raised = np.exp(values - values.max(axis=-1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=-1, keepdims=True), np.float32)
    low, high = float(values.min()), float(values.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise InvalidInput(
            f"the output {name} has values from {low:.3g} to {high:.3g}, which are no probabilities: "
            "declare its activation in metadata.json"
        )
    return values
