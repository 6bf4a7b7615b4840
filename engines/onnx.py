"""ONNX file → inference on ONNX Runtime, on the CPU, or on CUDA when asked for and present."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from engines.base import Device, Tensors
from engines.config_pbtxt import TensorSpec
from schemas.errors import ConfigurationError, TransientFailure

_PROVIDERS: Final[dict[Device, str]] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_DTYPES: Final = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


class OnnxEngine:
    """One ONNX graph in ONNX Runtime.

    Parameters
    ----------
    path
        The ``.onnx`` file.
    threads
        Threads that compute one inference; ``None`` takes one per core.
    device
        Where to compute.

    Raises
    ------
    ConfigurationError
        ONNX Runtime or the device is missing, or the file is not an ONNX model.
    """

    def __init__(self, path: Path, threads: int | None = None, device: Device = "cpu") -> None:
        if not self.is_available():
            raise ConfigurationError("onnxruntime is not installed: install the project's dependencies")
        import onnxruntime

        provider = _PROVIDERS[device]
        if provider not in onnxruntime.get_available_providers():
            raise ConfigurationError(f"ONNX Runtime has no {provider} here: use the CPU, or install its GPU build")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        # idle threads sleep: other processes of the same machine need the cores between two inferences
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
        except Exception as error:
            raise ConfigurationError(
                f"{path} cannot be loaded by ONNX Runtime ({error}): restore the file"
            ) from error
        self._identity = f"onnxruntime {onnxruntime.__version__} {device.upper()}"

    @classmethod
    def unavailable(cls) -> str | None:
        """Say what is missing, if anything is."""
        if importlib.util.find_spec("onnxruntime") is None:
            return "onnxruntime is not installed: install the project's dependencies"
        return None

    @classmethod
    def is_available(cls) -> bool:
        """Whether ONNX Runtime is installed."""
        return cls.unavailable() is None

    def identity(self) -> str:
        """Runtime, version, device."""
        return self._identity

    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs of the graph."""
        return tuple(_spec(node) for node in self._session.get_inputs())

    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs of the graph."""
        return tuple(_spec(node) for node in self._session.get_outputs())

    def close(self) -> None:
        """Nothing is held open: the session goes with this object."""

    def infer(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        """Run the graph once; other threads of Python go on meanwhile.

        Raises
        ------
        TransientFailure
            The runtime failed, such as for want of memory.
        """
        names = [node.name for node in self._session.get_outputs()]
        try:
            return dict(zip(names, self._session.run(names, dict(tensors)), strict=True))
        except Exception as error:
            raise TransientFailure(f"ONNX Runtime failed: {error}; it is tried again") from error


def _spec(node: Any) -> TensorSpec:
    dims = tuple(dim if isinstance(dim, int) else -1 for dim in node.shape)
    return TensorSpec(node.name, _DTYPES.get(node.type, node.type), dims)
