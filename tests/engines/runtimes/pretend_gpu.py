"""A GPU, TensorRT and PyCUDA that only pretend, for what lies on our side of their border.

Memory is numpy, a plan is the ONNX file and its profile, and ONNX Runtime computes. It refuses what the real ones
would punish: copies from memory that is not pinned, addresses outside an allocation, shapes outside the profile,
calls without a current context, work inside a capture that waits or allocates. It shows nothing about a real GPU.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from engines import cuda_graph
from engines.onnx import OnnxEngine
from schemas.errors import ConfigurationError


class PretendGpu:
    """Installed in place of ``tensorrt``, ``pycuda`` and ``libcuda`` while a test runs."""

    def __init__(self, patch: pytest.MonkeyPatch, memory: int = 1 << 30) -> None:
        self.memory = memory
        self.used = 0
        self.blocks: dict[int, np.ndarray[Any, Any]] = {}
        self.pinned: list[int] = []
        self.next_address = 1 << 20
        self.depth = threading.local()
        self.queue: list[Callable[[], None]] = []
        self.capturing: list[Callable[[], None]] | None = None
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.log: list[str] = []
        self.fail_with: str | None = None
        self.refuse_capture = False
        driver = pretend_driver(self)
        package = ModuleType("pycuda")
        package.driver = driver  # type: ignore[attr-defined]
        package.__spec__ = tensorrt_spec = SimpleNamespace(name="pretend")  # type: ignore[assignment]
        trt = pretend_tensorrt(self)
        trt.__spec__ = tensorrt_spec  # type: ignore[assignment]
        for name, module in (("pycuda", package), ("pycuda.driver", driver), ("tensorrt", trt)):
            patch.setitem(sys.modules, name, module)
        patch.setattr(cuda_graph, "library", lambda: pretend_libcuda(self))

    def current(self) -> None:
        assert getattr(self.depth, "count", 0) > 0, "no context is current"

    def submit(self, work: Callable[[], None]) -> None:
        self.current()
        (self.queue if self.capturing is None else self.capturing).append(work)

    def at(self, address: int, size: int) -> Any:
        for start, block in self.blocks.items():
            if start <= address and address + size <= start + block.nbytes:
                return block[address - start : address - start + size]
        raise AssertionError(f"{size} bytes at {address} are outside of what was allocated")


class Failure(Exception):
    pass


class NoMemory(Failure):
    pass


def pretend_driver(gpu: PretendGpu) -> ModuleType:
    driver = ModuleType("pycuda.driver")

    class Memory:
        def __init__(self, size: int) -> None:
            gpu.current()
            assert gpu.capturing is None, "memory was allocated within a capture"
            if gpu.used + size > gpu.memory:
                raise NoMemory("cuMemAlloc failed: out of memory")
            gpu.used += size
            self.size, self.address = size, gpu.next_address
            gpu.next_address += -(-size // 512) * 512 + 4096
            gpu.blocks[self.address] = np.zeros(size, np.uint8)

        def __int__(self) -> int:
            return self.address

        def __del__(self) -> None:
            if gpu.blocks.pop(getattr(self, "address", 0), None) is not None:
                gpu.used -= self.size

    class Context:
        def push(self) -> None:
            gpu.depth.count = getattr(gpu.depth, "count", 0) + 1

        def pop(self) -> None:
            gpu.depth.count -= 1

    class Stream:
        handle = 4242

        def synchronize(self) -> None:
            gpu.current()
            assert gpu.capturing is None, "waited within a capture"
            work, gpu.queue = gpu.queue, []
            for each in work:
                each()

    class Device:
        def __init__(self, number: int) -> None:
            assert number == 0

        @staticmethod
        def count() -> int:
            return 1

        def name(self) -> str:
            return "Pretend GPU 1000"

        def compute_capability(self) -> tuple[int, int]:
            return 8, 6

        def retain_primary_context(self) -> Context:
            return Context()

    def pagelocked_empty(size: int, dtype: Any) -> Any:
        gpu.current()
        block = np.full(size, 7, dtype)
        gpu.pinned.append(block.ctypes.data)
        return block

    def htod(memory: Memory, block: Any, stream: Stream) -> None:
        assert block.ctypes.data in gpu.pinned, "copied from memory that is not pinned"
        gpu.log.append("to device")
        gpu.submit(lambda: gpu.at(int(memory), block.nbytes).__setitem__(slice(None), block))

    def dtoh(block: Any, memory: Memory, stream: Stream) -> None:
        assert block.ctypes.data in gpu.pinned, "copied to memory that is not pinned"
        gpu.log.append("to host")
        gpu.submit(lambda: block.__setitem__(slice(None), gpu.at(int(memory), block.nbytes)))

    values = {"init": lambda: None, "Device": Device, "Stream": Stream, "Error": Failure, "MemoryError": NoMemory}
    calls = {
        "mem_alloc": Memory,
        "pagelocked_empty": pagelocked_empty,
        "memcpy_htod_async": htod,
        "memcpy_dtoh_async": dtoh,
    }
    for name, value in (values | calls).items():
        setattr(driver, name, value)
    return driver


def pretend_libcuda(gpu: PretendGpu) -> Any:
    def begin(stream: int, mode: int) -> int:
        assert (stream, mode) == (4242, 1)
        gpu.capturing = []
        return 0

    def end(stream: int, graph: Any) -> int:
        work, gpu.capturing = gpu.capturing, None
        if gpu.refuse_capture or work is None:
            return 901  # CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
        graph._obj.value = len(gpu.graphs) + 1
        gpu.graphs[graph._obj.value] = work
        return 0

    def instantiate(ready: Any, graph: Any, flags: int) -> int:
        ready._obj.value = graph.value
        return 0

    def launch(ready: Any, stream: int) -> int:
        gpu.log.append("graph")
        gpu.queue.extend(gpu.graphs[ready.value])
        return 0

    return SimpleNamespace(
        cuStreamBeginCapture_v2=begin,
        cuStreamEndCapture=end,
        cuGraphInstantiateWithFlags=instantiate,
        cuGraphLaunch=launch,
        cuGraphDestroy=lambda graph: 0,
        cuGraphExecDestroy=lambda ready: gpu.graphs.pop(ready.value, None) and 0,
    )


def pretend_tensorrt(gpu: PretendGpu) -> ModuleType:
    trt = ModuleType("tensorrt")

    class ILogger:
        Severity = SimpleNamespace(ERROR=1)

    class Profile:
        def __init__(self) -> None:
            self.shapes: dict[str, Any] = {}

        def set_shape(self, name: str, *shapes: Any) -> None:
            self.shapes[name] = [list(shape) for shape in shapes]

    class Builder:
        def __init__(self, log: Any) -> None:
            self.log = log

        def create_network(self, flags: int) -> Any:
            return SimpleNamespace(path=None, num_inputs=0)

        def create_builder_config(self) -> Any:
            told: dict[str, Any] = {"profiles": [], "flags": ["TF32"], "limits": {}}
            return SimpleNamespace(
                told=told,
                set_flag=told["flags"].append,
                clear_flag=told["flags"].remove,
                set_memory_pool_limit=told["limits"].__setitem__,
                add_optimization_profile=lambda profile: told["profiles"].append(profile.shapes),
            )

        def create_optimization_profile(self) -> Profile:
            return Profile()

        def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
            gpu.log.append("build")
            if gpu.fail_with is not None:
                self.log.log(1, gpu.fail_with)
                return None
            return json.dumps({"onnx": network.path.read_bytes().hex(), **config.told}).encode()

    class OnnxParser:
        num_errors = 1

        def __init__(self, network: Any, log: Any) -> None:
            self.network = network

        def parse_from_file(self, path: str) -> bool:
            try:
                specs = OnnxEngine(Path(path)).inputs()
            except ConfigurationError:
                return False
            self.network.path, self.network.num_inputs = Path(path), len(specs)
            self.network.get_input = lambda at: SimpleNamespace(name=specs[at].name, shape=specs[at].dims)
            return True

        def get_error(self, index: int) -> str:
            return "Failed to parse ONNX model from file"

    class Context:
        def __init__(self, engine: Any) -> None:
            self.engine = engine
            self.shapes: dict[str, tuple[int, ...]] = {}
            self.addresses: dict[str, int] = {}

        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            profile = self.engine.profile.get(name)
            if profile and not all(a <= b <= c for a, b, c in zip(profile[0], shape, profile[2], strict=True)):
                self.engine.log.log(1, "the shape is not in the profile")
                return False
            self.shapes[name] = tuple(shape)
            return True

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            zeros = {spec.name: np.zeros(self.shapes[spec.name], spec.dtype) for spec in self.engine.inputs}
            return tuple(self.engine.run(zeros)[name].shape)

        def set_tensor_address(self, name: str, address: int) -> bool:
            assert address % 256 == 0
            self.addresses[name] = address
            return True

        def execute_async_v3(self, stream: int) -> bool:
            assert stream == 4242
            gpu.log.append("execute")
            if gpu.fail_with is not None:
                self.engine.log.log(1, gpu.fail_with)
                return False
            gpu.submit(self.compute)
            return True

        def compute(self) -> None:
            given = {}
            for spec in self.engine.inputs:
                shape = self.shapes[spec.name]
                size = math.prod(shape) * np.dtype(spec.dtype).itemsize
                given[spec.name] = gpu.at(self.addresses[spec.name], size).view(spec.dtype).reshape(shape)
            for name, array in self.engine.run(given).items():
                place = gpu.at(self.addresses[name], array.nbytes)
                place[:] = np.ascontiguousarray(array).view(np.uint8).ravel()

    class Engine:
        def __init__(self, plan: bytes, log: Any) -> None:
            told = json.loads(plan)
            self.log, self.profile = log, (told["profiles"] or [{}])[0]
            content = bytes.fromhex(told["onnx"])
            self.session = onnxruntime.InferenceSession(content)
            with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
                file.write(content)
                file.flush()
                known = OnnxEngine(Path(file.name))
            self.inputs, self.outputs = known.inputs(), known.outputs()
            self.tensors = {spec.name: spec for spec in self.inputs + self.outputs}
            self.num_io_tensors = len(self.tensors)

        def run(self, given: Any) -> dict[str, Any]:
            names = [spec.name for spec in self.outputs]
            return dict(zip(names, self.session.run(names, given), strict=True))

        def get_tensor_name(self, index: int) -> str:
            return list(self.tensors)[index]

        def get_tensor_mode(self, name: str) -> str:
            return "input" if self.tensors[name] in self.inputs else "output"

        def get_tensor_dtype(self, name: str) -> str:
            return self.tensors[name].dtype

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return self.tensors[name].dims

        def create_execution_context(self) -> Context:
            return Context(self)

    class Runtime:
        def __init__(self, log: Any) -> None:
            self.log = log

        def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
            gpu.current()
            try:
                return Engine(plan, self.log)
            except ValueError:
                self.log.log(1, "Serialization assertion failed: magic tag does not match")
                return None

    values = {
        "__version__": "10.16.1.11",
        "ILogger": ILogger,
        "Builder": Builder,
        "OnnxParser": OnnxParser,
        "Runtime": Runtime,
        "Dims": list,
        "nptype": np.dtype,
        "BuilderFlag": SimpleNamespace(FP16="FP16", TF32="TF32"),
        "MemoryPoolType": SimpleNamespace(WORKSPACE="workspace"),
        "TensorIOMode": SimpleNamespace(INPUT="input", OUTPUT="output"),
    }
    for name, value in values.items():
        setattr(trt, name, value)
    return trt
