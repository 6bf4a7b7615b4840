"""A model repository with models that see a study in windows, for benchmarks: nothing of it is shipped."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from onnx import TensorProto, helper

from benchmarks.small_network import add_case, add_made


@dataclass(frozen=True)
class Windows:
    """A model: its name, and its window along x, y, z."""

    name: str
    window: tuple[int, int, int]

    @property
    def dims(self) -> list[int]:
        """Of its input and output."""
        return [1, *self.window, 1]


#: A study of 64 × 64 × 8 voxels has four windows, one of 256 × 256 × 160 sixteen.
SMALL: Final = Windows("windows", (32, 32, 8))
LARGE: Final = Windows("large-windows", (128, 128, 40))
_CONFIG: Final = """name: "{name}"
platform: "onnxruntime_onnx"
max_batch_size: 0
input [ {{ name: "in" data_type: TYPE_FP32 dims: {dims} }} ]
output [ {{ name: "out" data_type: TYPE_FP32 dims: {dims} }} ]
"""


def add_windows_model(root: Path, model: Windows) -> None:
    """Write the model into a repository."""
    config = _CONFIG.format(name=model.name, dims=model.dims)
    tiles = {"overlap": 0, "weighting": "constant"}
    file = add_made(root, model.name, config, {"resampling": "none", "tiles": tiles}, _graph(model))
    ramp = np.linspace(0, 1, math.prod(model.dims), dtype=np.float32).reshape(model.dims)
    add_case(file, "ramp", ramp, ramp * np.float32(0.5), tolerance=1e-5)


def _graph(model: Windows) -> bytes:
    """Out = in / 2."""
    dims: list[Any] = [*model.dims]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["in", "half"], ["out"])],
        model.name,
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, dims)],
        [helper.make_tensor("half", TensorProto.FLOAT, [1], [0.5])],
    )
    opsets = [helper.make_opsetid("", 21)]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    return content
