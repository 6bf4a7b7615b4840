"""Models whose graph is a function: metadata and geometry can be tested exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from engines.config_pbtxt import ModelConfig, TensorSpec
from engines.metadata import ModelMetadata, read
from engines.model import Model
from engines.model_info import ModelInfo
from engines.outcome import Outcome
from engines.pipeline import run
from engines.steps import drive
from schemas.events import TaskParameters
from tests.engines.dropped import VOLUME, code
from tests.engines.phantom import FOLDER

MR = "1.2.840.10008.5.1.4.1.1.4"
Function = Callable[[NDArray[np.float32]], Mapping[str, NDArray[Any]]]


class Stub:
    """Engine that computes a function of its input, and remembers the requests."""

    def __init__(self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], function: Function) -> None:
        self._inputs, self._outputs, self._function = tuple(inputs), tuple(outputs), function
        self.seen: list[NDArray[Any]] = []

    @classmethod
    def is_available(cls) -> bool:
        return True

    def identity(self) -> str:
        return "stub"

    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._inputs

    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._outputs

    def infer(self, tensors: Any) -> dict[str, NDArray[Any]]:
        (tensor,) = tensors.values()
        self.seen.append(tensor)
        return dict(self._function(tensor))


def stub(
    task: str,
    input_: Mapping[str, Any],
    output: Mapping[str, Any],
    dims: Sequence[int],
    outputs: Mapping[str, Sequence[int]],
    function: Function,
    *,
    batch: int = 0,
    dtype: str = "float32",
    heatmap: Mapping[str, Any] | None = None,
) -> tuple[Model, Stub]:
    """A model; ``dims`` and those of the outputs with the axis of rows."""
    policy = {
        "modality": "MR",
        "sop_class_uids": [MR],
        "minimum_slices": 1,
        "resampling": "none",
        "normalisation": "none",
        **input_,
    }
    metadata = ModelMetadata.model_validate(
        {"task": task, "input": policy, "output": dict(output), "limitations": "Test.", "heatmap": heatmap}
    )
    specs = [TensorSpec(name, "float32", tuple(shape)) for name, shape in outputs.items()]
    engine = Stub([TensorSpec("in", dtype, tuple(dims))], specs, function)
    config = ModelConfig("stub", "onnxruntime_onnx", batch, engine.inputs(), engine.outputs())
    return Model(read(FOLDER / "model_info.json", ModelInfo), metadata, config, engine), engine


def answer(images: Sequence[Dataset], model: Model, parameters: TaskParameters | None = None) -> Outcome:
    return drive(run(images, model, parameters), model.engine.infer)


def one_segment(channel: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "number": channel + 1,
        "label": f"Thing {channel}",
        "channel": channel,
        "finding_type": f"thing-{channel}",
        "finding": code("52988006", "Lesion"),
        "category": "routine",
        "measurements": [VOLUME],
        **more,
    }
