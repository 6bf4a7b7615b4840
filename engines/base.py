"""What an inference runtime must offer: named arrays → named arrays.

Runtimes are plugins: this module imports none of them, and each says itself whether it can run here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.config_pbtxt import TensorSpec

Tensors = Mapping[str, NDArray[Any]]
Volume32 = NDArray[np.float32]


class Engine(Protocol):
    """One loaded model on one runtime. :meth:`infer` may be called from any thread, one call at a time."""

    @classmethod
    def is_available(cls) -> bool:
        """Whether this runtime can run on this machine."""
        ...

    def identity(self) -> str:
        """Runtime, its version and where it computes, such as ``onnxruntime 1.32.0 CPU``."""
        ...

    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs of the loaded graph."""
        ...

    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs of the loaded graph."""
        ...

    def infer(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        """Run the model once.

        Parameters
        ----------
        tensors
            Every input of the graph by name, with its shape and dtype.

        Raises
        ------
        TransientFailure
            The runtime failed (out of memory, device lost).
        """
        ...
