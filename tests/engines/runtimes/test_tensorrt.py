"""TensorRT up to its border; what only a GPU can show is in ``test_gpu_parity.py``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engines.base import Engine
from engines.config_pbtxt import model_config
from engines.runtimes import EngineOptions, engine_of
from engines.tensorrt_engine import TensorRtEngine, known
from schemas.errors import ConfigurationError, InvalidInput, OutOfMemory, TransientFailure
from tests.engines.runtimes.contract import EngineContract, agree
from tests.engines.runtimes.graphs import (
    HALF,
    MIXED,
    half,
    mixed,
    mixed_answer,
    mixed_inputs,
    with_weights_beside,
    write,
)
from tests.engines.runtimes.pretend_gpu import PretendGpu

SHAPES = "".join(
    f'parameters {{ key: "trt_profile_{bound}_shapes" value: "x:{rows}x3x{columns}" }}'
    for bound, rows, columns in (("min", 1, 1), ("opt", 4, 100), ("max", 8, 1000))
)


def accelerated(config: str, parameters: str = "") -> str:
    accelerator = f'gpu_execution_accelerator {{ name: "tensorrt" {parameters} }}'
    onnx = config.replace('backend: "python"', 'backend: "onnxruntime"')
    return f"{onnx} optimization {{ execution_accelerators {{ {accelerator} }} }}"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> PretendGpu:
    return PretendGpu(monkeypatch)


def load(folder: Path, text: str = accelerated(MIXED, SHAPES)) -> Engine:
    config = model_config(text)
    path = folder / "models" / config.name / "1" / "model.onnx"
    if not path.exists():
        write(folder / "models", config.name, text, mixed() if config.name == "mixed" else half())
    return engine_of(path, config, EngineOptions(device="cuda", plan_cache=folder / "plans"))


class TestTensorRtOnAPretendedGpu(EngineContract):
    @pytest.fixture
    def engine(self, tmp_path: Path, gpu: PretendGpu) -> Iterator[Engine]:
        engine = load(tmp_path)
        assert engine.identity() == "tensorrt 10.16.1.11 Pretend GPU 1000"
        yield engine
        engine.close()


def test_a_plan_is_built_once_and_found_again(tmp_path: Path, gpu: PretendGpu) -> None:
    for _ in range(3):
        load(tmp_path).close()
    assert gpu.log.count("build") == 1
    (plan,) = (tmp_path / "plans").glob("*.plan")
    assert json.loads(plan.read_bytes())["profiles"] == [
        {"x": [[1, 3, 1], [4, 3, 100], [8, 3, 1000]], "shift": [[1, 1, 1], [8, 1, 1], [8, 1, 1]]}
    ]
    assert "pretend-gpu-1000" in plan.name


def test_a_plan_of_other_weights_is_another_one(
    tmp_path: Path, gpu: PretendGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where they lie in a file beside the graph, which itself stays as it was."""
    text = accelerated(MIXED, SHAPES)
    path = write(tmp_path / "models", "mixed", text, with_weights_beside(mixed()))
    # what only pretends to be TensorRT cannot run what lies in two files
    monkeypatch.setattr(TensorRtEngine, "__init__", lambda *_: None)
    for value in (2.0, 2.0, 3.0):
        (path.parent / "weights.data").write_bytes(np.float32(value).tobytes())
        TensorRtEngine.of_onnx(path, model_config(text), tmp_path / "plans", None)
    assert gpu.log == ["build", "build"]


def test_a_damaged_plan_is_built_anew(tmp_path: Path, gpu: PretendGpu) -> None:
    load(tmp_path).close()
    (plan,) = (tmp_path / "plans").glob("*.plan")
    plan.write_bytes(plan.read_bytes()[:100])
    inputs = mixed_inputs(2, 4)
    agree(load(tmp_path).infer(inputs), mixed_answer(inputs))
    assert gpu.log.count("build") == 2


def test_half_precision_and_workspace_reach_the_builder(tmp_path: Path, gpu: PretendGpu) -> None:
    parameters = (
        'parameters { key: "precision_mode" value: "FP16" } '
        'parameters { key: "max_workspace_size_bytes" value: "1048576" }'
    )
    load(tmp_path, accelerated(MIXED, SHAPES + parameters))
    (plan,) = (tmp_path / "plans").glob("*.plan")
    told = json.loads(plan.read_bytes())
    assert (told["flags"], told["limits"]) == (["FP16"], {"workspace": 1048576})


def test_fixed_shapes_become_one_graph(tmp_path: Path, gpu: PretendGpu) -> None:
    engine = load(tmp_path, accelerated(HALF))
    for number in range(4):
        x = np.full((2, 4), number, np.float16)
        np.testing.assert_array_equal(engine.infer({"x": x})["y"], x + x)
    # the second round of copies and work is what the graph is made of
    assert gpu.log == ["build", *["to device", "execute", "to host"] * 2, *["graph"] * 3]
    engine.close()
    assert (gpu.graphs, gpu.used) == ({}, 0)


def test_without_a_graph_it_runs_all_the_same(tmp_path: Path, gpu: PretendGpu) -> None:
    gpu.refuse_capture = True
    engine = load(tmp_path, accelerated(HALF))
    x = np.ones((2, 4), np.float16)
    for _ in range(3):
        np.testing.assert_array_equal(engine.infer({"x": x})["y"], x + x)
    assert "graph" not in gpu.log


def test_free_shapes_are_no_graph(tmp_path: Path, gpu: PretendGpu) -> None:
    engine = load(tmp_path)
    for _ in range(3):
        engine.infer(mixed_inputs(1, 2))
    assert "graph" not in gpu.log
    assert gpu.log[1:] == ["to device", "execute", "to host"] * 3


def test_no_memory_for_the_buffers(tmp_path: Path, gpu: PretendGpu) -> None:
    engine = load(tmp_path)
    gpu.memory = 4096
    with pytest.raises(OutOfMemory, match="smaller batch"):
        engine.infer(mixed_inputs(8, 1000))
    inputs = mixed_inputs(1, 2)
    agree(engine.infer(inputs), mixed_answer(inputs))


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("[executionContext.cpp::allocate] Cuda Runtime (out of memory)", OutOfMemory),
        ("[cudaDriverHelpers] cuLaunchKernel: an illegal memory access was encountered", TransientFailure),
    ],
)
def test_a_run_that_fails_says_what_tensorrt_said(
    tmp_path: Path, gpu: PretendGpu, said: str, error: type[Exception]
) -> None:
    engine = load(tmp_path)
    gpu.fail_with = said
    with pytest.raises(error) as failed:
        engine.infer(mixed_inputs(1, 2))
    assert type(failed.value) is error
    assert said in str(failed.value)


def test_a_shape_outside_of_the_profile_is_invalid(tmp_path: Path, gpu: PretendGpu) -> None:
    engine = load(tmp_path)
    with pytest.raises(InvalidInput, match=r"x of shape \[1, 3, 1001\] .* trt_profile_max_shapes"):
        engine.infer(mixed_inputs(1, 1001))


@pytest.mark.parametrize(
    ("said", "remedy"), [("out of memory", "max_batch_size"), ("no kernel for node Foo", "remove the accelerator")]
)
def test_a_plan_that_cannot_be_built(tmp_path: Path, gpu: PretendGpu, said: str, remedy: str) -> None:
    gpu.fail_with = said
    with pytest.raises(ConfigurationError, match=remedy):
        load(tmp_path)
    assert list((tmp_path / "plans").glob("*.plan")) == []


def test_a_plan_of_another_machine(tmp_path: Path, gpu: PretendGpu) -> None:
    path = tmp_path / "mixed" / "1" / "model.plan"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not built here")
    config = model_config(MIXED.replace('backend: "python"', 'platform: "tensorrt_plan"'))
    with pytest.raises(ConfigurationError, match=r"is no plan for TensorRT 10\.16\.1\.11 on Pretend GPU 1000"):
        engine_of(path, config, EngineOptions(device="cuda"))


@pytest.mark.skipif(TensorRtEngine.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"TensorRT cannot run here: .* scanstream\[gpu\]"):
        load(tmp_path)


def test_an_output_whose_size_depends_on_values_is_refused_with_what_to_do() -> None:
    assert known("scores", (8, 2)) == (8, 2)
    assert known("one number", ()) == ()
    with pytest.raises(ConfigurationError, match=r"output boxes has the shape \[-1, 4\].*remove the accelerator"):
        known("boxes", (-1, 4))
