"""A model repository with a model that sees a study in four windows, for benchmarks: nothing of it is shipped."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from onnx import TensorProto, helper

from engines.repository import RELEASED

NAME: Final = "windows"
#: x, y, z; a study of 64 × 64 × 8 voxels has four of them.
WINDOW: Final = (32, 32, 8)
STUDY: Final = (8, 64, 64)
STEPS: Final = 4
_BRAIN: Final = RELEASED / "mri-brain-segmentation"
_DIMS: Final = f"[ 1, {WINDOW[0]}, {WINDOW[1]}, {WINDOW[2]}, 1 ]"
_CONFIG: Final = f"""name: "{NAME}"
platform: "onnxruntime_onnx"
max_batch_size: 0
input [ {{ name: "in" data_type: TYPE_FP32 dims: {_DIMS} }} ]
output [ {{ name: "out" data_type: TYPE_FP32 dims: {_DIMS} }} ]
"""


def add_windows_model(root: Path) -> None:
    """Write the model into a repository."""
    folder, own = root / NAME, root / NAME / "1"
    case = own / "validation" / "ramp"
    case.mkdir(parents=True)
    (folder / "config.pbtxt").write_text(_CONFIG, encoding="utf-8")
    metadata = json.loads((_BRAIN / "metadata.json").read_text(encoding="utf-8"))
    metadata["input"] |= {"resampling": "none", "tiles": {"overlap": 0, "weighting": "constant"}}
    metadata["limitations"] = "Made for benchmarks."
    (folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    content = _graph()
    (own / "model.onnx").write_bytes(content)
    info = json.loads((_BRAIN / "model_info.json").read_text(encoding="utf-8"))
    info |= {"name": NAME, "sha256": hashlib.sha256(content).hexdigest()}
    (own / "model_info.json").write_text(json.dumps(info), encoding="utf-8")
    ramp = np.linspace(0, 1, int(np.prod(WINDOW)), dtype=np.float32).reshape(1, *WINDOW, 1)
    np.savez(case / "inputs.npz", **{"in": ramp})
    np.savez(case / "expected.npz", out=ramp / 2)
    record = {
        "arrays": "inputs.npz",
        "expected_arrays": [{"output": "out", "file": "expected.npz", "tolerance": 1e-5}],
        "expected_counts": [{"output": "out", "threshold": 9.0, "count": 0, "relative_tolerance": 0}],
    }
    (case / "case.json").write_text(json.dumps(record), encoding="utf-8")


def _graph() -> bytes:
    """Out = in / 2."""
    dims: list[Any] = [1, *WINDOW, 1]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["in", "half"], ["out"])],
        NAME,
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, dims)],
        [helper.make_tensor("half", TensorProto.FLOAT, [1], [0.5])],
    )
    opsets = [helper.make_opsetid("", 21)]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    return content
