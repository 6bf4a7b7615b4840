"""What an inference runtime must offer: named arrays → named arrays.

Runtimes are plugins: this module imports none of them, and each says itself whether it can run here.
:func:`engines.runtimes.engine_of` chooses one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.config_pbtxt import TensorSpec
from schemas.errors import ConfigurationError, TransientFailure

Tensors = Mapping[str, NDArray[Any]]
Volume32 = NDArray[np.float32]

#: Where a runtime of this process computes; ``CUDA_VISIBLE_DEVICES`` says which GPU is the first.
Device = Literal["cpu", "cuda"]


class Engine(Protocol):
    """One loaded model on one runtime. :meth:`infer` may be called from any thread, one call at a time."""

    @classmethod
    def unavailable(cls) -> str | None:
        """Why this runtime cannot run on this machine and what would change that; ``None`` when it can."""
        ...

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

        Returns
        -------
        dict
            Every output of the graph by name; the arrays belong to the caller.

        Raises
        ------
        InvalidInput
            The graph does not take these names, types or shapes.
        OutOfMemory
            The runtime has no memory for this batch.
        TransientFailure
            The runtime failed (device lost, a time-out).
        DestinationUnavailable
            A remote runtime is away.
        """
        ...

    def close(self) -> None:
        """Give memory, device and connections back; harmless when it is said twice."""
        ...


class Runtime(ABC):
    """What all runtimes say of themselves in the same way; see :class:`Engine`."""

    _identity: str
    _inputs: tuple[TensorSpec, ...]
    _outputs: tuple[TensorSpec, ...]

    @classmethod
    @abstractmethod
    def unavailable(cls) -> str | None:
        """Say what is missing, if anything is."""

    @classmethod
    def is_available(cls) -> bool:
        """Whether nothing is missing."""
        return cls.unavailable() is None

    @classmethod
    def check_available(cls) -> None:
        """Refuse to go on where something is missing.

        Raises
        ------
        ConfigurationError
            It is; the message says what.
        """
        reason = cls.unavailable()
        if reason is not None:
            raise ConfigurationError(reason)

    def identity(self) -> str:
        """Runtime, version, and where it computes."""
        return self._identity

    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs of the loaded graph."""
        return self._inputs

    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs of the loaded graph."""
        return self._outputs


def was_closed() -> TransientFailure:
    """Error of an engine that is asked after it was closed."""
    return TransientFailure("this model was closed: it is tried again with the one that is loaded")
