"""ONNX file → inference on ONNX Runtime, on the CPU, or on CUDA when asked for and present."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engines import onnx_errors
from engines.base import Device, Runtime, Tensors, was_closed
from engines.config_pbtxt import TensorSpec
from engines.tensors import fitting
from schemas.errors import ConfigurationError

_PROVIDERS: Final[dict[Device, str]] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_DTYPES: Final = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


class OnnxEngine(Runtime):
    """One ONNX graph in ONNX Runtime.

    Parameters
    ----------
    path
        The ``.onnx`` file.
    threads
        Threads that compute one inference; ``None`` takes one per core.
    device
        Where to compute.
    inter_threads
        Branches of the graph that are computed at the same time; ``None`` takes them one after the other.
    gpu_memory_mb
        Most memory of the GPU, in MiB, that the runtime takes for arrays; ``None`` sets no limit.
    bound
        Keep inputs and outputs in buffers of the device (ONNX Runtime's IO binding); ``None`` does so on CUDA.

    Raises
    ------
    ConfigurationError
        ONNX Runtime or the device is missing, or the file is not an ONNX model that it knows.
    """

    def __init__(
        self,
        path: Path,
        threads: int | None = None,
        device: Device = "cpu",
        *,
        inter_threads: int | None = None,
        gpu_memory_mb: int | None = None,
        bound: bool | None = None,
    ) -> None:
        self.check_available()
        import onnxruntime

        provider = _PROVIDERS[device]
        if provider not in onnxruntime.get_available_providers():
            raise ConfigurationError(
                f"ONNX Runtime has no {provider} here: use the CPU, or install onnxruntime-gpu in its place"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        if inter_threads is not None and inter_threads > 1:
            options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
            options.inter_op_num_threads = inter_threads
        # idle threads sleep: other processes of the same machine need the cores between two inferences
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        options.log_severity_level = 4  # what it would log is in the errors that it raises
        providers = [(provider, provider_options(device, gpu_memory_mb))]
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:
            raise onnx_errors.of_load(path, str(error), onnxruntime.__version__) from error
        if session.get_providers()[0] != provider:
            raise ConfigurationError(
                f"ONNX Runtime could not start {provider} (it fell back to {session.get_providers()[0]}): "
                "check driver, CUDA and cuDNN against the table of its documentation"
            )
        self._session = session
        self._inputs = tuple(_spec(node) for node in session.get_inputs())
        self._outputs = tuple(_spec(node) for node in session.get_outputs())
        self._names = [spec.name for spec in self._outputs]
        self._run = self._bound if (device == "cuda" if bound is None else bound) else self._unbound
        self._device = device
        self._held: dict[str, Any] = {}
        self._identity = f"onnxruntime {onnxruntime.__version__} {device.upper()}"

    @classmethod
    def unavailable(cls) -> str | None:
        """Say what is missing, if anything is."""
        if importlib.util.find_spec("onnxruntime") is None:
            return "onnxruntime is not installed: install the project's dependencies"
        return None

    def infer(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        """Run the graph once; other threads of Python go on meanwhile.

        Raises
        ------
        InvalidInput
            The graph does not take these arrays.
        OutOfMemory
            There is no memory for this batch.
        TransientFailure
            The runtime failed.
        """
        arrays = fitting(self._inputs, tensors)
        if self._session is None:
            raise was_closed()
        try:
            return dict(zip(self._names, self._run(arrays), strict=True))
        except MemoryError as error:
            raise onnx_errors.of_run(f"bad_alloc {error}") from error
        except Exception as error:
            raise onnx_errors.of_run(str(error)) from error

    def close(self) -> None:
        """Give the session and its arena back."""
        self._session = None
        self._held.clear()

    def _unbound(self, arrays: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        found: list[NDArray[Any]] = self._session.run(self._names, arrays)
        return found

    def _bound(self, arrays: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        binding = self._session.io_binding()
        for name, array in arrays.items():
            binding.bind_ortvalue_input(name, self._resident(name, array))
        for name in self._names:
            binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(binding)
        # what the binding gives is its own memory, and goes with it
        return [np.array(array) for array in binding.copy_outputs_to_cpu()]

    def _resident(self, name: str, array: NDArray[Any]) -> Any:
        """Buffer on the device that holds the array: the one of the last run where the shape is the same."""
        held = self._held.get(name)
        if held is not None and tuple(held.shape()) == array.shape:
            held.update_inplace(array)
            return held
        import onnxruntime

        # on the CPU the value is the very array that it is made of: never the caller's
        self._held[name] = onnxruntime.OrtValue.ortvalue_from_numpy(np.array(array), self._device, 0)
        return self._held[name]


def provider_options(device: Device, gpu_memory_mb: int | None) -> dict[str, str]:
    """Options of ONNX Runtime's provider (https://onnxruntime.ai/docs/execution-providers/).

    On CUDA its arena grows by what is asked for and not to the next power of two, because volumes are large; and
    convolutions are chosen by rule, because measuring them again for every new shape takes seconds. float32 stays
    float32: TF32, the default on newer GPUs, keeps ten bits of it.
    """
    if device == "cpu":
        return {}
    options = {
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
    }
    if gpu_memory_mb is not None:
        options["gpu_mem_limit"] = str(gpu_memory_mb << 20)
    return options


def _spec(node: Any) -> TensorSpec:
    dims = tuple(dim if isinstance(dim, int) else -1 for dim in node.shape)
    return TensorSpec(node.name, _DTYPES.get(node.type, node.type), dims)
