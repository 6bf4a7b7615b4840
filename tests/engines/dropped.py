"""Model folders made of metadata and an ONNX graph, as a site would drop them into its repository."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from engines.model import Model
from engines.onnx import OnnxEngine
from engines.records import Records
from engines.repository import load_version

CT = "1.2.840.10008.5.1.4.1.1.2"
PHOTO = "1.2.840.10008.5.1.4.1.1.77.1.4"


def code(value: str, meaning: str, scheme: str = "SCT") -> dict[str, str]:
    return {"value": value, "scheme": scheme, "meaning": meaning}


MILLILITRE = code("mL", "milliliter", "UCUM")
VOLUME = {"kind": "volume", "code": code("118565006", "Volume"), "unit": MILLILITRE, "decimals": 3}


def segment(number: int, channel: int, finding_type: str, finding: dict[str, str], **more: Any) -> dict[str, Any]:
    return {
        "number": number,
        "label": finding["meaning"],
        "channel": channel,
        "finding_type": finding_type,
        "finding": finding,
        "category": "routine",
        "measurements": [VOLUME],
        **more,
    }


def drop(
    root: Path, name: str, config: str, metadata: Mapping[str, Any], graph: ModelProto, inputs: Mapping[str, Any]
) -> Model:
    """Write the folder and load it as the worker does: digest, graph, declared metadata, validation set."""
    folder = root / name
    own = folder / "1"
    case = folder / "validation" / "one"
    own.mkdir(parents=True)
    case.mkdir(parents=True)
    (folder / "config.pbtxt").write_text(f'name: "{name}"\nplatform: "onnxruntime_onnx"\n{config}\n')
    (folder / "metadata.json").write_text(json.dumps({**metadata, "limitations": "Test."}))
    content = graph.SerializeToString()
    (own / "model.onnx").write_bytes(content)
    info = {
        "name": name,
        "version": "1.0",
        "file": "model.onnx",
        "sha256": hashlib.sha256(content).hexdigest(),
        "licence": "Apache-2.0",
        "licence_file": "LICENSE",
        "source": "made by a test",
        "authors": [],
        "manufacturer": "tests",
        "intended_use": "tests",
    }
    (folder / "model_info.json").write_text(json.dumps(info))
    np.savez(case / "inputs.npz", **inputs)
    answers = OnnxEngine(own / "model.onnx").infer(inputs)
    sampled = {key: value[(slice(None, None, 8),) * value.ndim] for key, value in answers.items()}
    np.savez(case / "expected.npz", **sampled)
    expected = [{"output": key, "file": "expected.npz", "step": 8, "tolerance": 1e-4} for key in answers]
    (case / "case.json").write_text(json.dumps({"arrays": "inputs.npz", "expected_arrays": expected}))
    return load_version(root / name, 1, lambda path, _: OnnxEngine(path), Records())


def graph_of(
    nodes: Sequence[Any],
    inputs: Mapping[str, Sequence[Any]],
    outputs: Mapping[str, Sequence[Any]],
    constants: Mapping[str, Any],
) -> ModelProto:
    """ONNX graph over float tensors."""
    made = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, dims) for key, dims in inputs.items()],
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, dims) for key, dims in outputs.items()],
        [numpy_helper.from_array(np.asarray(value, np.float32), key) for key, value in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def densities(root: Path) -> Model:
    """Segmentation of a head CT on 256³ voxels of 1 mm: blood (50 to 90 HU) and bone (above 200 HU)."""
    grid = [1, 1, 256, 256, 256]
    nodes = [
        helper.make_node("Sub", ["image", "centre"], ["away"]),
        helper.make_node("Abs", ["away"], ["distance"]),
        helper.make_node("Sub", ["half", "distance"], ["inside"]),
        helper.make_node("Sub", ["image", "bone"], ["above"]),
        helper.make_node("Concat", ["inside", "above"], ["both"], axis=1),
        helper.make_node("Mul", ["both", "steep"], ["logits"]),
    ]
    constants = {"centre": 0.7, "half": 0.2, "bone": 2.0, "steep": 40.0}  # in units of 100 HU
    graph = graph_of(nodes, {"image": grid}, {"logits": [1, 2, 256, 256, 256]}, constants)
    metadata = {
        "task": "segmentation",
        "input": {
            "modality": "CT",
            "sop_class_uids": [CT],
            "minimum_slices": 5,
            "layout": "NCZYX",
            "orientation": "LPS",
            "resampling": "spacing",
            "spacing_mm": [1, 1, 1],
            "fill": -1000,
            "window": {"low": -1000, "high": 1000},
            "normalisation": "scale",
            "scale": 0.01,
        },
        "output": {
            "activation": "sigmoid",
            "threshold": 0.5,
            "segments": [
                segment(
                    1,
                    0,
                    "hyperdensity",
                    code("50960005", "Hemorrhage"),
                    site=code("12738006", "Brain"),
                    minimum_volume_ml=0.5,
                    laterality="by-place",
                    locations="centre",
                    category="urgent",
                    rules=[
                        {"of": "volume", "at_least": 30, "category": "critical"},
                        {"of": "volume", "at_least": 5, "category": "urgent"},
                        {"of": "volume", "at_least": 0, "category": "routine"},
                    ],
                ),
                segment(2, 1, "bone-volume", code("272673000", "Bone"), site=code("272673000", "Bone")),
            ],
        },
    }
    config = (
        "max_batch_size: 0\n"
        'input [ { name: "image" data_type: TYPE_FP32 dims: [ 1, 1, 256, 256, 256 ] } ]\n'
        'output [ { name: "logits" data_type: TYPE_FP32 dims: [ 1, 2, 256, 256, 256 ] } ]'
    )
    ramp = np.linspace(-10, 10, 256, dtype=np.float32)
    inputs = {"image": np.broadcast_to(ramp, grid).copy()}
    return drop(root, "densities", config, metadata, graph, inputs)


#: Weights of red-or-green: two maps (redness, greenness), two classes.
RED_GREEN = ((6.0, -6.0), (-6.0, 6.0))


def red_or_green(root: Path, heatmap: Mapping[str, Any] | None = None, size: int = 32) -> Model:
    """Classification of photographs: mean redness against mean greenness, with the maps before its last layer."""
    nodes = [
        helper.make_node("Conv", ["photo", "kernel"], ["raw"]),
        helper.make_node("Relu", ["raw"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", "weights"], ["scores"], transB=1),
    ]
    kernel = np.array([[1, -0.5, -0.5], [-0.5, 1, -0.5]], np.float32).reshape(2, 3, 1, 1)
    graph = graph_of(
        nodes,
        {"photo": ["n", 3, size, size]},
        {"scores": ["n", 2], "maps": ["n", 2, size, size]},
        {"kernel": kernel, "weights": RED_GREEN},
    )
    metadata: dict[str, Any] = {
        "task": "classification",
        "input": {
            "modality": "XC",
            "sop_class_uids": [PHOTO],
            "minimum_slices": 1,
            "dimensions": "2d",
            "layout": "NCYX",
            "resampling": "letterbox",
            "normalisation": "mean-std",
            "scale": 1 / 255,
            "mean": [0.0, 0.0, 0.0],
            "std": [1.0, 1.0, 1.0],
            "channels": "rgb",
        },
        "output": {
            "tensor": "scores",
            "activation": "softmax",
            "threshold": 0.6,
            "labels": [
                {
                    "index": 0,
                    "label": "red",
                    "finding_type": "erythema",
                    "finding": code("247441003", "Erythema"),
                    "category": "routine",
                    "rules": [{"of": "probability", "at_least": 0.9, "category": "urgent"}],
                },
                {
                    "index": 1,
                    "label": "green",
                    "finding_type": "green",
                    "finding": code("371246006", "Green color"),
                    "category": "incidental",
                    "report": False,
                },
            ],
        },
    }
    if heatmap is not None:
        metadata["heatmap"] = dict(heatmap)
    config = (
        "max_batch_size: 4\n"
        f'input [ {{ name: "photo" data_type: TYPE_FP32 dims: [ 3, {size}, {size} ] }} ]\n'
        'output [ { name: "scores" data_type: TYPE_FP32 dims: [ 2 ] },\n'
        f'         {{ name: "maps" data_type: TYPE_FP32 dims: [ 2, {size}, {size} ] }} ]'
    )
    inputs = {"photo": np.random.default_rng(3).random((2, 3, size, size), np.float32)}
    return drop(root, "red-or-green", config, metadata, graph, inputs)
