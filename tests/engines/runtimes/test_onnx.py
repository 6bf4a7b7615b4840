from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from engines.base import Engine
from engines.onnx import OnnxEngine, provider_options
from engines.onnx_errors import of_load
from schemas.errors import ConfigurationError, OutOfMemory, TransientFailure
from tests.engines.runtimes.contract import EngineContract
from tests.engines.runtimes.graphs import HUGE, MIXED, huge, mixed, model, write


class TestOnnxRuntime(EngineContract):
    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[Engine]:
        engine = OnnxEngine(write(tmp_path, "mixed", MIXED, mixed()))
        yield engine
        engine.close()


class TestOnnxRuntimeWithBuffersOfTheDevice(EngineContract):
    """The way that CUDA goes, on the CPU."""

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[Engine]:
        engine = OnnxEngine(write(tmp_path, "mixed", MIXED, mixed()), threads=1, inter_threads=2, bound=True)
        yield engine
        engine.close()


@pytest.mark.parametrize("bound", [False, True])
def test_no_memory_is_out_of_memory_and_the_engine_goes_on(tmp_path: Path, bound: bool) -> None:
    engine = OnnxEngine(write(tmp_path, "huge", HUGE, huge()), bound=bound)
    with pytest.raises(OutOfMemory, match="smaller batch"):
        engine.infer({"elements": np.array([1 << 44])})
    assert engine.infer({"elements": np.array([5])})["y"].shape == (5,)


def test_another_failure_is_not_out_of_memory(tmp_path: Path) -> None:
    engine = OnnxEngine(write(tmp_path, "huge", HUGE, huge()))
    with pytest.raises(TransientFailure) as failed:
        engine.infer({"elements": np.array([-5])})
    assert not isinstance(failed.value, OutOfMemory)


def graph_of(operator: str, domain: str = "") -> object:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y"))
    return helper.make_graph([helper.make_node(operator, ["x"], ["y"], domain=domain)], "g", [x], [y])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            model(graph_of("Relu"), opset=99).SerializeToString(),
            r"of opset 99 .* to \d+: export the model for opset",
        ),
        (model(graph_of("Relu"), ir_version=99).SerializeToString(), r"of IR version 99 .* older version of onnx"),
        (model(graph_of("Frobnicate")).SerializeToString(), "uses the operator Frobnicate"),
        (model(graph_of("Relu")).SerializeToString()[:-20], "restore the file"),
        (b"no model at all", "restore the file"),
        (b"", "restore the file"),
    ],
    ids=["opset", "ir", "operator", "cut", "text", "empty"],
)
def test_a_file_that_cannot_be_loaded_says_why_and_what_to_do(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=said):
        OnnxEngine(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="restore the file"):
        OnnxEngine(tmp_path / "model.onnx")


def test_a_model_too_large_for_the_device() -> None:
    said = "CUDA failure 2: out of memory ; GPU=0"
    assert "does not fit into memory" in str(of_load(Path("m.onnx"), said, "1.32.0"))


def test_options_of_the_providers() -> None:
    assert provider_options("cpu", 512) == {}
    assert provider_options("cuda", None) == {
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
    }
    assert provider_options("cuda", 512)["gpu_mem_limit"] == "536870912"
