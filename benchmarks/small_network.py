"""A model repository with a small 3-D network that batches, for benchmarks: nothing of it is shipped.

Two convolutions on 32 × 32 × 32 voxels take a few milliseconds, so what is around the engine weighs most.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from engines.repository import RELEASED

NAME: Final = "small-network"
GRID: Final = 32
MOST_ROWS: Final = 8
_BRAIN: Final = RELEASED / "mri-brain-segmentation"
_CONFIG: Final = f"""name: "{NAME}"
platform: "onnxruntime_onnx"
max_batch_size: {MOST_ROWS}
input [ {{ name: "in" data_type: TYPE_FP32 dims: [ 1, {GRID}, {GRID}, {GRID} ] }} ]
output [ {{ name: "out" data_type: TYPE_FP32 dims: [ 1, {GRID}, {GRID}, {GRID} ] }} ]
dynamic_batching {{ preferred_batch_size: [ 4, 8 ] }}
"""


def add_small_network(root: Path) -> Path:
    """Write the model into a repository; its graph file is returned."""
    from engines.onnx import OnnxEngine

    file = add_made(root, NAME, _CONFIG, {"layout": "NCXYZ"}, _graph())
    noise = np.random.default_rng(8).random((1, 1, GRID, GRID, GRID), np.float32)
    add_case(file, "noise", noise, OnnxEngine(file, threads=1).infer({"in": noise})["out"], tolerance=1e-4)
    return file


def add_made(root: Path, name: str, config: str, changes: dict[str, Any], content: bytes) -> Path:
    """Write a model whose metadata is that of the brain model but for some of its input; its graph file."""
    folder, own = root / name, root / name / "1"
    own.mkdir(parents=True)
    (folder / "config.pbtxt").write_text(config, encoding="utf-8")
    metadata = json.loads((_BRAIN / "metadata.json").read_text(encoding="utf-8"))
    metadata["input"] |= changes
    metadata["limitations"] = "Made for benchmarks."
    (folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    file = own / "model.onnx"
    file.write_bytes(content)
    info = json.loads((_BRAIN / "model_info.json").read_text(encoding="utf-8"))
    info |= {"name": name, "sha256": hashlib.sha256(content).hexdigest()}
    (own / "model_info.json").write_text(json.dumps(info), encoding="utf-8")
    return file


def add_case(
    file: Path, name: str, given: NDArray[np.float32], out: NDArray[np.float32], *, tolerance: float
) -> None:
    """Write what a model must answer before it serves."""
    case = file.parent / "validation" / name
    case.mkdir(parents=True)
    np.savez(case / "inputs.npz", **{"in": given})
    np.savez(case / "expected.npz", out=out)
    record = {
        "arrays": "inputs.npz",
        "expected_arrays": [{"output": "out", "file": "expected.npz", "tolerance": tolerance}],
        "expected_counts": [{"output": "out", "threshold": 9.0, "count": 0, "relative_tolerance": 0}],
    }
    (case / "case.json").write_text(json.dumps(record), encoding="utf-8")


def add_released(root: Path, name: str) -> None:
    """Copy a shipped model into a repository."""
    shutil.copytree(RELEASED / name, root / name)


def _graph() -> bytes:
    noise = np.random.default_rng(7)
    shape: list[Any] = ["n", 1, GRID, GRID, GRID]
    nodes = [
        helper.make_node("Conv", ["in", "w1"], ["c1"], pads=[1] * 6),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[1] * 6),
        helper.make_node("Sigmoid", ["c2"], ["out"]),
    ]
    weights = {"w1": (8, 1, 3, 3, 3), "w2": (1, 8, 3, 3, 3)}
    constants = [
        helper.make_tensor(name, TensorProto.FLOAT, dims, noise.normal(0, 0.2, dims).astype(np.float32).ravel())
        for name, dims in weights.items()
    ]
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
        constants,
    )
    content: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    ).SerializeToString()
    return content
