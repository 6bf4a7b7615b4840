"""TensorRT plan, or ONNX file that becomes one → inference on the first visible GPU.

One stream of its own; inputs and outputs go through pinned memory, one copy each way; where every shape of the
graph is fixed, copies and kernels are one CUDA graph. Guarantee: a plan is used only with the TensorRT, the GPU
and the model file that it was built from.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines import cuda, cuda_graph, tensorrt_build
from engines.base import Runtime, Tensors, was_closed
from engines.buffers import Layout, layout
from engines.config_pbtxt import ModelConfig, TensorSpec
from engines.digest import digest_of
from engines.memory import says_out_of_memory
from engines.plan_cache import PlanCache
from engines.tensorrt_plan import build_options, plan_name
from engines.tensors import fitting
from schemas.errors import ConfigurationError, InvalidInput, OutOfMemory, TransientFailure

if TYPE_CHECKING:
    import tensorrt as trt

log = logging.getLogger(__name__)


class TensorRtEngine(Runtime):
    """One plan in TensorRT 10.

    Parameters
    ----------
    plan
        Bytes of the plan.
    where
        What it is made from, for messages.

    Raises
    ------
    ConfigurationError
        TensorRT or a GPU is missing, or the plan is not for them.
    """

    def __init__(self, plan: bytes, where: str) -> None:
        _check_available()
        import tensorrt as trt

        self._log = tensorrt_build.logger()
        self._cuda = cuda.Cuda()
        with self._cuda.current():
            engine = trt.Runtime(self._log).deserialize_cuda_engine(plan)
            if engine is None:
                raise ConfigurationError(
                    f"{where} is no plan for TensorRT {trt.__version__} on {self._cuda.gpu.name} "
                    f"({self._said()}): build it here, or give the ONNX file in its place"
                )
            context = engine.create_execution_context()
            if context is None:
                raise ConfigurationError(
                    f"{where} does not fit into {self._cuda.gpu.name} ({self._said()}): "
                    "load fewer models, or build it for smaller shapes"
                )
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        self._inputs = tuple(_spec(trt, engine, name) for name in inputs)
        self._outputs = tuple(_spec(trt, engine, name) for name in names if name not in inputs)
        fixed = all(min(spec.dims, default=1) > 0 for spec in self._inputs + self._outputs)
        self._engine: trt.ICudaEngine | None = engine
        self._context: trt.IExecutionContext | None = context
        self._buffers: _Buffers | None = None
        self._graph: cuda_graph.CudaGraph | None = None
        self._capture = fixed
        self._identity = f"tensorrt {trt.__version__} {self._cuda.gpu.name}"

    @classmethod
    def of_plan(cls, path: Path) -> TensorRtEngine:
        """Load a plan that was built for this machine."""
        return cls(path.read_bytes(), str(path))

    @classmethod
    def of_onnx(cls, path: Path, config: ModelConfig, folder: Path, gpu_memory_mb: int | None) -> TensorRtEngine:
        """Build a plan from an ONNX file, or take the one that was built before.

        Parameters
        ----------
        path
            The ONNX file.
        config
            Its ``config.pbtxt``.
        folder
            Where plans are kept.
        gpu_memory_mb
            Most memory that a layer may take beside its tensors, in MiB.
        """
        _check_available()
        import tensorrt as trt

        options = build_options(config, gpu_memory_mb)
        cache = PlanCache(folder)
        device = cuda.Cuda()
        name = plan_name(digest_of(path), str(trt.__version__), device.gpu, options)

        built = False

        def build() -> bytes:
            nonlocal built
            built = True
            log.info("TensorRT builds %s for %s; this is done once", config.name, device.gpu.name)
            with device.current():
                return tensorrt_build.build(path, options, tensorrt_build.logger())

        plan = cache.get(name, build)
        try:
            return cls(plan, str(folder / name))
        except ConfigurationError:
            if built:
                raise
            # damaged on the disk, or made under another driver: built anew, once
            cache.forget(name)
            return cls(cache.get(name, build), str(folder / name))

    @classmethod
    def unavailable(cls) -> str | None:
        """Say what is missing, if anything is."""
        return tensorrt_build.unavailable() or cuda.unavailable()

    def infer(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        """Copy in, run, copy out; other threads of Python go on meanwhile.

        Raises
        ------
        InvalidInput
            The plan does not take these arrays.
        OutOfMemory
            The GPU has no memory for this batch.
        TransientFailure
            TensorRT or CUDA failed.
        """
        arrays = fitting(self._inputs, tensors)
        context = self._context
        if context is None:
            raise was_closed()
        self._log.said = []
        with self._cuda.current():
            buffers = self._ready(context, arrays)
            for place in buffers.inputs.places:
                place.view(buffers.host_in)[...] = arrays[place.name]
            if self._graph is not None:
                self._graph.launch()
            else:
                self._enqueue(context, buffers)
            self._cuda.wait()
            found = {place.name: place.view(buffers.host_out).copy() for place in buffers.outputs.places}
            if self._capture and self._graph is None:
                self._record(context, buffers)
        return found

    def close(self) -> None:
        """Give the memory of the GPU back."""
        if self._context is None:
            return
        with self._cuda.current():
            self._forget()
            self._context = self._engine = None

    def _ready(self, context: trt.IExecutionContext, arrays: dict[str, NDArray[Any]]) -> _Buffers:
        shapes = {name: array.shape for name, array in arrays.items()}
        if self._buffers is not None and self._buffers.shapes == shapes:
            return self._buffers
        self._forget()
        for name, shape in shapes.items():
            if not context.set_input_shape(name, shape):
                raise InvalidInput(
                    f"input {name} of shape {list(shape)} is outside what the plan was built for "
                    f"({self._said()}): widen trt_profile_max_shapes"
                )
        inputs = layout((spec.name, spec.dtype, shapes[spec.name]) for spec in self._inputs)
        outputs = layout(
            (spec.name, spec.dtype, known(spec.name, tuple(context.get_tensor_shape(spec.name)[:])))
            for spec in self._outputs
        )
        buffers = _Buffers(self._cuda, shapes, inputs, outputs)
        for block, places in ((buffers.device_in, inputs.places), (buffers.device_out, outputs.places)):
            for place in places:
                context.set_tensor_address(place.name, int(block) + place.offset)
        self._buffers = buffers
        return buffers

    def _enqueue(self, context: trt.IExecutionContext, buffers: _Buffers) -> None:
        self._cuda.to_device(buffers.device_in, buffers.host_in)
        if not context.execute_async_v3(self._cuda.stream):
            said = self._said()
            kind = OutOfMemory if says_out_of_memory(said) else TransientFailure
            raise kind(f"TensorRT failed: {said}; it is tried again")
        self._cuda.to_host(buffers.host_out, buffers.device_out)

    def _record(self, context: trt.IExecutionContext, buffers: _Buffers) -> None:
        self._capture = False  # tried once: a graph that cannot be captured never can
        try:
            self._graph = cuda_graph.CudaGraph(
                cuda_graph.library(), self._cuda.stream, lambda: self._enqueue(context, buffers)
            )
        except (TransientFailure, OSError) as error:
            log.warning("%s runs without a CUDA graph: %s", self._identity, error)

    def _forget(self) -> None:
        if self._graph is not None:
            self._graph.close()
        self._graph = self._buffers = None

    def _said(self) -> str:
        return "; ".join(self._log.said) or "no reason given"


class _Buffers:
    """Memory for tensors of certain shapes, on the host (pinned) and on the GPU."""

    def __init__(
        self, device: cuda.Cuda, shapes: dict[str, tuple[int, ...]], inputs: Layout, outputs: Layout
    ) -> None:
        self.shapes, self.inputs, self.outputs = shapes, inputs, outputs
        self.host_in: NDArray[np.uint8] = device.pinned(inputs.size)
        self.host_out: NDArray[np.uint8] = device.pinned(outputs.size)
        self.device_in, self.device_out = device.device_memory(inputs.size), device.device_memory(outputs.size)


def known(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of an output, which all inputs being known decide alone.

    Raises
    ------
    ConfigurationError
        It depends on values, such as the number of boxes that are left after suppression.
    """
    if min(shape, default=0) < 0:
        raise ConfigurationError(
            f"output {name} has the shape {list(shape)}, which depends on the values of the input: remove the "
            "accelerator tensorrt from config.pbtxt, or export the model with outputs of fixed size"
        )
    return shape


def _check_available() -> None:
    reason = TensorRtEngine.unavailable()
    if reason is not None:
        raise ConfigurationError(f"TensorRT cannot run here: {reason}")


def _spec(trt: Any, engine: Any, name: str) -> TensorSpec:
    dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name))).name
    return TensorSpec(name, dtype, tuple(engine.get_tensor_shape(name)[:]))
