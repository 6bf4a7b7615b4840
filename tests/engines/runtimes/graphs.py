"""Small ONNX graphs whose answers are known, written into a model repository that Triton and we both read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

Arrays = dict[str, NDArray[Any]]

#: A graph with free axes, two inputs and outputs of three types; see :func:`mixed_answer`.
MIXED = """
name: "mixed"
backend: "python"
max_batch_size: 8
input [
  { name: "x" data_type: TYPE_FP32 dims: [ 3, -1 ] },
  { name: "shift" data_type: TYPE_INT64 dims: [ 1, 1 ] }
]
output [
  { name: "y" data_type: TYPE_FP32 dims: [ 3, -1 ] },
  { name: "positive" data_type: TYPE_BOOL dims: [ 3, -1 ] },
  { name: "largest" data_type: TYPE_INT64 dims: [ 3 ] }
]
"""
#: All shapes fixed, half floats.
HALF = """
name: "half"
backend: "python"
max_batch_size: 0
input { name: "x" data_type: TYPE_FP16 dims: [ 2, 4 ] }
output { name: "y" data_type: TYPE_FP16 dims: [ 2, 4 ] }
"""
#: As much memory as the input says.
HUGE = """
name: "huge"
backend: "python"
max_batch_size: 0
input { name: "elements" data_type: TYPE_INT64 dims: [ 1 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ -1 ] }
"""


def mixed() -> ModelProto:
    node = helper.make_node
    nodes = [
        node("Cast", ["shift"], ["s"], to=TensorProto.FLOAT),
        node("Mul", ["x", "two"], ["doubled"]),
        node("Add", ["doubled", "s"], ["y"]),
        node("Greater", ["x", "zero"], ["positive"]),
        node("ArgMax", ["x"], ["largest"], axis=2, keepdims=0),
    ]
    constants = [
        helper.make_tensor("two", TensorProto.FLOAT, [], [2.0]),
        helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
    ]
    value = helper.make_tensor_value_info
    inputs = [value("x", TensorProto.FLOAT, ["n", 3, "m"]), value("shift", TensorProto.INT64, ["n", 1, 1])]
    outputs = [
        value("y", TensorProto.FLOAT, ["n", 3, "m"]),
        value("positive", TensorProto.BOOL, ["n", 3, "m"]),
        value("largest", TensorProto.INT64, ["n", 3]),
    ]
    return model(helper.make_graph(nodes, "mixed", inputs, outputs, constants))


def mixed_inputs(rows: int, columns: int, seed: int = 7) -> Arrays:
    random = np.random.default_rng(seed)
    return {
        "x": random.normal(size=(rows, 3, columns)).astype(np.float32),
        "shift": random.integers(-9, 9, (rows, 1, 1)),
    }


def mixed_answer(inputs: Arrays) -> Arrays:
    x = inputs["x"]
    return {"y": x * np.float32(2) + inputs["shift"].astype(np.float32), "positive": x > 0, "largest": x.argmax(2)}


def half() -> ModelProto:
    nodes = [helper.make_node("Add", ["x", "x"], ["y"])]
    value = helper.make_tensor_value_info
    return model(
        helper.make_graph(
            nodes, "half", [value("x", TensorProto.FLOAT16, [2, 4])], [value("y", TensorProto.FLOAT16, [2, 4])]
        )
    )


def huge() -> ModelProto:
    value = helper.make_tensor_value_info
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    nodes = [helper.make_node("Expand", ["one", "elements"], ["y"])]
    return model(
        helper.make_graph(
            nodes,
            "huge",
            [value("elements", TensorProto.INT64, [1])],
            [value("y", TensorProto.FLOAT, ["m"])],
            [one],
        )
    )


def with_weights_beside(graph: ModelProto, location: str = "weights.data", name: str = "two") -> ModelProto:
    """The same graph, whose constant of that name lies in a file."""
    (tensor,) = (each for each in graph.graph.initializer if each.name == name)
    beside(tensor, location)
    return graph


def beside(tensor: TensorProto, location: str) -> TensorProto:
    """The tensor without its numbers, which lie in a file."""
    for field in ("raw_data", "float_data"):
        tensor.ClearField(field)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def model(graph: Any, opset: int = 17, ir_version: int = 8) -> ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def write(root: Path, name: str, config: str, graph: ModelProto) -> Path:
    """``NAME/1/model.onnx`` and its ``config.pbtxt``; gives the path of the graph."""
    path = root / name / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(graph.SerializeToString())
    (root / name / "config.pbtxt").write_text(config)
    return path
