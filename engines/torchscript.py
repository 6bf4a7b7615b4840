"""TorchScript file → inference in PyTorch, on the CPU or on CUDA; PyTorch is installed by whoever wants it.

A TorchScript module has no names: inputs go in the order of ``config.pbtxt`` and outputs come in that order, as
with Triton's PyTorch backend and its names ``INPUT__0``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.base import Device, Runtime, Tensors, was_closed
from engines.config_pbtxt import TensorSpec
from engines.memory import says_out_of_memory
from engines.tensors import fitting
from schemas.errors import ConfigurationError, InvalidInput, OutOfMemory, TransientFailure


class TorchScriptEngine(Runtime):
    """One TorchScript module.

    Parameters
    ----------
    path
        The ``.pt`` file, as ``torch.jit.save`` writes it.
    inputs, outputs
        As ``config.pbtxt`` has them; the file does not know them.
    device
        Where to compute.

    Raises
    ------
    ConfigurationError
        PyTorch or the device is missing, or the file is no TorchScript module.
    """

    def __init__(
        self, path: Path, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], device: Device = "cpu"
    ) -> None:
        self.check_available()
        import torch

        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigurationError(
                "PyTorch sees no CUDA here: use the CPU, or install its GPU build and the driver"
            )
        self._torch, self._device = torch, device
        # other shapes in the file do not change what the module itself takes: the graph's own are used
        self._inputs = tuple(TensorSpec(spec.name, spec.dtype, spec.graph_dims) for spec in inputs)
        self._outputs = tuple(TensorSpec(spec.name, spec.dtype, spec.graph_dims) for spec in outputs)
        try:
            self._module = torch.jit.load(str(path), map_location=device).eval()
        except (RuntimeError, ValueError, OSError) as error:
            raise ConfigurationError(
                f"{path} cannot be loaded by PyTorch {torch.__version__} ({error}): write it with torch.jit.save"
            ) from error
        self._identity = f"torch {torch.__version__} {device.upper()}"

    @classmethod
    def unavailable(cls) -> str | None:
        """Say what is missing, if anything is."""
        if importlib.util.find_spec("torch") is None:
            return "torch is not installed: install PyTorch for this machine, or export the model to ONNX"
        return None

    def infer(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        """Run the module once.

        Raises
        ------
        InvalidInput
            The model does not take these arrays, or answers with something else than the configuration says.
        OutOfMemory
            There is no memory for this batch.
        TransientFailure
            PyTorch failed.
        """
        arrays = fitting(self._inputs, tensors)
        if self._module is None:
            raise was_closed()
        torch = self._torch
        try:
            with torch.inference_mode():
                given = [torch.from_numpy(np.array(array)).to(self._device) for array in arrays.values()]
                answer = self._module(*given)
                found = [answer] if torch.is_tensor(answer) else list(answer)
                results = [each.cpu().numpy() for each in found]
        except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
            if isinstance(error, MemoryError) or says_out_of_memory(str(error)):
                raise OutOfMemory(f"PyTorch: {error}; a smaller batch is tried, then another node") from error
            raise TransientFailure(f"PyTorch failed: {error}; it is tried again") from error
        return named(self._outputs, results)

    def close(self) -> None:
        """Give the module back, and on CUDA its memory: PyTorch keeps what is freed for itself."""
        if self._module is not None and self._device == "cuda":
            self._module = None
            self._torch.cuda.empty_cache()
        self._module = None


def named(specs: Sequence[TensorSpec], results: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Answers of a module by the names of the configuration.

    Raises
    ------
    InvalidInput
        There are more or fewer, or one has another type.
    """
    got = [result.dtype.name for result in results]
    if got != [spec.dtype for spec in specs]:
        told = [(spec.name, spec.dtype) for spec in specs]
        raise InvalidInput(f"the module answered with {got} and config.pbtxt names {told}: correct it there")
    return {spec.name: result for spec, result in zip(specs, results, strict=True)}
