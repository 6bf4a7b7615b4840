"""Answers of the GPU beside those of the CPU: runs where there is one, and says elsewhere that it did not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from engines.base import Engine
from engines.config_pbtxt import model_config
from engines.onnx import OnnxEngine
from engines.repository import RELEASED
from engines.runtimes import EngineOptions, engine_of
from engines.tensorrt_engine import TensorRtEngine
from engines.torchscript import TorchScriptEngine
from schemas.errors import OutOfMemory
from tests.engines.runtimes.contract import EngineContract
from tests.engines.runtimes.graphs import HALF, MIXED, half, mixed, write
from tests.engines.runtimes.test_tensorrt import SHAPES, accelerated

BRAIN = RELEASED / "mri-brain-segmentation"


@pytest.fixture
def tensorrt() -> None:
    if (reason := TensorRtEngine.unavailable()) is not None:
        pytest.skip(f"not run on a GPU here: {reason}")


@pytest.fixture
def cuda() -> None:
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("not run on a GPU here: ONNX Runtime has no CUDA provider (onnxruntime-gpu)")


@pytest.mark.usefixtures("tensorrt")
class TestTensorRt(EngineContract):
    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[Engine]:
        text = accelerated(MIXED, SHAPES)
        path = write(tmp_path, "mixed", text, mixed())
        engine = engine_of(path, model_config(text), EngineOptions("cuda", plan_cache=tmp_path / "plans"))
        yield engine
        engine.close()


@pytest.mark.usefixtures("cuda")
class TestOnnxRuntimeOnCuda(EngineContract):
    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[Engine]:
        engine = OnnxEngine(write(tmp_path, "mixed", MIXED, mixed()), device="cuda")
        yield engine
        engine.close()


def brain(tmp_path: Path, precision: str) -> Callable[[], Engine]:
    parameters = f'parameters {{ key: "precision_mode" value: "{precision}" }}'
    text = accelerated((BRAIN / "config.pbtxt").read_text(), parameters)
    options = EngineOptions("cuda", plan_cache=tmp_path)
    return lambda: engine_of(BRAIN / "1" / "model.onnx", model_config(text), options)


@pytest.mark.parametrize(("precision", "tolerance"), [("FP32", 2e-3), ("FP16", 2e-2)])
@pytest.mark.usefixtures("tensorrt")
def test_the_released_model_answers_as_on_the_cpu(tmp_path: Path, precision: str, tolerance: float) -> None:
    volume = np.random.default_rng(1).random((1, 128, 128, 128, 1), np.float32)
    (expected,) = OnnxEngine(BRAIN / "1" / "model.onnx").infer({"img_in:0": volume}).values()
    engine = brain(tmp_path, precision)()
    for _ in range(3):  # the later ones are launches of a CUDA graph
        (found,) = engine.infer({"img_in:0": volume}).values()
        assert np.abs(found - expected).max() <= tolerance
    engine.close()


@pytest.mark.usefixtures("tensorrt")
def test_fixed_shapes_of_half_floats(tmp_path: Path) -> None:
    text = accelerated(HALF)
    path = write(tmp_path, "half", text, half())
    engine = engine_of(path, model_config(text), EngineOptions("cuda", plan_cache=tmp_path / "plans"))
    for number in range(4):
        x = np.full((2, 4), number, np.float16)
        np.testing.assert_array_equal(engine.infer({"x": x})["y"], x + x)
    engine.close()


@pytest.mark.usefixtures("cuda")
def test_no_memory_on_the_gpu_is_out_of_memory(tmp_path: Path) -> None:
    from tests.engines.runtimes.graphs import HUGE, huge

    engine = OnnxEngine(write(tmp_path, "huge", HUGE, huge()), device="cuda", gpu_memory_mb=64)
    with pytest.raises(OutOfMemory):
        engine.infer({"elements": np.array([1 << 36])})
    assert engine.infer({"elements": np.array([4])})["y"].shape == (4,)


@pytest.mark.skipif(
    not TorchScriptEngine.is_available(), reason=f"not run here: {TorchScriptEngine.unavailable()}"
)
def test_a_torchscript_module(tmp_path: Path) -> None:
    import torch

    class Twice(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2

    text = HALF.replace('backend: "python"', 'backend: "pytorch"').replace("TYPE_FP16", "TYPE_FP32")
    path = tmp_path / "half" / "1" / "model.pt"
    path.parent.mkdir(parents=True)
    torch.jit.script(Twice()).save(str(path))
    engine = engine_of(path, model_config(text))
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(engine.infer({"x": x})["y"], x * 2)
    engine.close()
