"""A model repository with models that multiply their input: small enough to have many versions of."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from engines.repository import RELEASED

NAME = "tiny"
GRID = (4, 4, 4)
_BRAIN = RELEASED / "mri-brain-segmentation"

CONFIG = """name: "tiny"
platform: "onnxruntime_onnx"
max_batch_size: 0
input [ { name: "in" data_type: TYPE_FP32 dims: [ 1, 4, 4, 4, 1 ] } ]
output [ { name: "out" data_type: TYPE_FP32 dims: [ 1, 4, 4, 4, 1 ] } ]
"""


def graph(factor: float, opset: int = 21) -> bytes:
    """ONNX file: out = in × factor."""
    dims = [1, *GRID, 1]
    node = helper.make_node("Mul", ["in", "factor"], ["out"])
    made = helper.make_graph(
        [node],
        "tiny",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, dims)],
        [helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor])],
    )
    opsets = [helper.make_opsetid("", opset)]
    content: bytes = helper.make_model(made, opset_imports=opsets, ir_version=10).SerializeToString()
    return content


def add_version(
    root: Path, number: int, factor: float = 0.5, *, expected: float | None = None, title: str | None = None
) -> Path:
    """One more version of the model ``tiny``; ``expected`` is the factor that its validation set records."""
    folder = root / NAME
    own = folder / str(number)
    own.mkdir(parents=True)
    if not (folder / "config.pbtxt").exists():
        shutil.copy(_BRAIN / "metadata.json", folder / "metadata.json")
        (folder / "config.pbtxt").write_text(CONFIG)
    (own / "model.onnx").write_bytes(graph(factor))
    write_info(own, title or f"{number}.0")
    case = own / "validation" / "ramp"
    case.mkdir(parents=True)
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, *GRID, 1)
    np.savez(case / "inputs.npz", **{"in": ramp})
    np.savez(case / "expected.npz", out=ramp * np.float32(factor if expected is None else expected))
    record = {
        "arrays": "inputs.npz",
        "expected_arrays": [{"output": "out", "file": "expected.npz", "tolerance": 1e-5}],
        "expected_counts": [{"output": "out", "threshold": 9.0, "count": 0, "relative_tolerance": 0}],
    }
    (case / "case.json").write_text(json.dumps(record))
    return own


def write_info(own: Path, title: str) -> None:
    """``model_info.json`` of the file that is in the version's folder now."""
    info = json.loads((_BRAIN / "model_info.json").read_text())
    digest = hashlib.sha256((own / "model.onnx").read_bytes()).hexdigest()
    (own / "model_info.json").write_text(json.dumps(info | {"name": NAME, "version": title, "sha256": digest}))
