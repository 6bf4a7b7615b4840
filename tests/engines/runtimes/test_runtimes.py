from __future__ import annotations

import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto, helper

from engines.base import Device, Engine
from engines.config_pbtxt import ModelConfig, model_config
from engines.graph_check import check_graph
from engines.memory import says_out_of_memory
from engines.onnx import OnnxEngine
from engines.runtimes import EngineOptions, availability, connected, device_of, engine_of, options_of, plan_cache
from engines.torchscript import TorchScriptEngine, named
from schemas.errors import ConfigurationError, DestinationUnavailable, InvalidInput, TransientFailure
from schemas.settings import WorkerSettings
from tests.engines.runtimes.contract import agree
from tests.engines.runtimes.graphs import MIXED, mixed, mixed_answer, mixed_inputs, model, write

ONNX = MIXED.replace('backend: "python"', 'backend: "onnxruntime"')


def test_a_model_runs_on_the_runtime_that_it_names(tmp_path: Path) -> None:
    engine = engine_of(write(tmp_path, "mixed", ONNX, mixed()), model_config(ONNX))
    assert isinstance(engine, OnnxEngine)
    inputs = mixed_inputs(2, 3)
    agree(engine.infer(inputs), mixed_answer(inputs))


def test_threads_are_those_of_the_worker_before_those_of_the_model(tmp_path: Path) -> None:
    text = ONNX + 'parameters { key: "intra_op_thread_count" value: { string_value: "3" } }'
    path = write(tmp_path, "mixed", text, mixed())

    def threads(options: EngineOptions) -> tuple[int, int]:
        engine = engine_of(path, model_config(text), options)
        assert isinstance(engine, OnnxEngine)
        used = engine._session.get_session_options()
        return used.intra_op_num_threads, used.inter_op_num_threads

    assert threads(EngineOptions())[0] == 3
    assert threads(EngineOptions(threads=2, inter_threads=2)) == (2, 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ('backend: "onnxruntime"', 'platform: "tensorflow_savedmodel"'),
            "'tensorflow_savedmodel', which no runtime",
        ),
        (("max_batch_size: 8", "max_batch_size: 8 sequence_batching { }"), "carries out sequence_batching"),
        (("max_batch_size: 8", "max_batch_size: 8 instance_group { kind: KIND_GPU }"), "KIND_GPU and .* is cpu"),
        (
            ('name: "x"', 'name: "z"'),
            r"input of the graph: name is \['shift', 'z'\] and the graph has \['shift', 'x'\]",
        ),
        (
            ("TYPE_FP32 dims: [ 3, -1 ]", "TYPE_FP16 dims: [ 3, -1 ]"),
            "data_type is float16 and the graph has float32",
        ),
        (("dims: [ 3, -1 ]", "dims: [ 4, -1 ]"), r"input x .* dims is \[4, -1\] and the graph has \[3, -1\]"),
        (("dims: [ 3, -1 ]", "dims: [ 3 ]"), r"input x .* dims is \[3\] and the graph has \[3, -1\]"),
        (("dims: [ 3 ]", "dims: [ -1 ]"), r"output largest .* dims is \[-1\] and the graph has \[3\]"),
        (
            ("max_batch_size: 8", 'max_batch_size: 8 parameters { key: "intra_op_thread_count" value { } }'),
            "intra_op_thread_count is ''",
        ),
    ],
)
def test_a_configuration_that_lies_names_the_field_and_both_values(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    text = ONNX.replace(*change, 1)
    with pytest.raises(ConfigurationError, match=said):
        engine_of(write(tmp_path, "mixed", text, mixed()), model_config(text))


def test_a_graph_that_takes_no_batch(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [value("x", TensorProto.FLOAT, [1, 3])],
        [value("y", TensorProto.FLOAT, [1, 3])],
    )
    text = """name: "g" backend: "onnxruntime" max_batch_size: 4
    input { name: "x" data_type: TYPE_FP32 dims: 3 } output { name: "y" data_type: TYPE_FP32 dims: 3 }"""
    with pytest.raises(
        ConfigurationError, match=r"max_batch_size is 4 and the graph has \[1, 3\], whose first axis"
    ):
        engine_of(write(tmp_path, "g", text, model(graph)), model_config(text))


def test_the_file_may_say_less_than_the_graph_allows_and_leave_outputs_out() -> None:
    graph = model_config(ONNX)
    narrow = model_config(ONNX.replace("dims: [ 3, -1 ]", "dims: [ 3, 64 ]"))
    check_graph(narrow, graph.inputs, graph.outputs, "config.pbtxt")
    fewer = model_config(
        ONNX[: ONNX.index("output")] + 'output { name: "y" data_type: TYPE_FP32 dims: [ 3, -1 ] }'
    )
    check_graph(fewer, graph.inputs, graph.outputs, "config.pbtxt")
    with pytest.raises(ConfigurationError, match=r"does not describe the input \['shift'\]"):
        one = model_config(
            """name: "m" platform: "onnxruntime_onnx" max_batch_size: 8
            input { name: "x" data_type: TYPE_FP32 dims: [ 3, -1 ] }
            output { name: "y" data_type: TYPE_FP32 dims: [ 3, -1 ] }"""
        )
        check_graph(one, graph.inputs, graph.outputs, "config.pbtxt")


def test_reshape_stands_between_the_file_and_the_graph(tmp_path: Path) -> None:
    text = """
    name: "mixed" backend: "onnxruntime" max_batch_size: 8
    input [ { name: "x" data_type: TYPE_FP32 dims: [ -1, 3, 1 ] reshape { shape: [ 3, -1 ] } },
            { name: "shift" data_type: TYPE_INT64 dims: 1 reshape { shape: [ 1, 1 ] } } ]
    output [ { name: "y" data_type: TYPE_FP32 dims: [ 3, -1 ] },
             { name: "positive" data_type: TYPE_BOOL dims: [ 3, -1 ] },
             { name: "largest" data_type: TYPE_INT64 dims: [ 3, 1 ] reshape { shape: [ 3 ] } } ]
    """
    engine = engine_of(write(tmp_path, "mixed", text, mixed()), model_config(text))
    assert [spec.dims for spec in engine.inputs()] == [(-1, -1, 3, 1), (-1, 1)]
    graph = mixed_inputs(2, 5)
    answer = engine.infer({"x": graph["x"].reshape(2, 5, 3, 1), "shift": graph["shift"].reshape(2, 1)})
    expected = mixed_answer(graph)
    agree(answer, expected | {"largest": expected["largest"].reshape(2, 3, 1)})
    engine.close()


def of_kinds(*kinds: str) -> ModelConfig:
    return model_config(ONNX + "".join(f" instance_group {{ kind: {kind} }}" for kind in kinds))


@pytest.mark.parametrize(
    ("kinds", "device", "expected"),
    [
        ((), "cpu", "cpu"),
        ((), "cuda", "cuda"),
        (("KIND_AUTO",), "cuda", "cuda"),
        (("KIND_CPU",), "cuda", "cpu"),
        (("KIND_GPU",), "cuda", "cuda"),
        (("KIND_GPU", "KIND_CPU"), "cpu", "cpu"),
    ],
)
def test_where_a_model_runs(kinds: tuple[str, ...], device: Device, expected: Device) -> None:
    assert device_of(of_kinds(*kinds), device) == expected


def test_settings_of_the_worker(tmp_path: Path) -> None:
    settings = WorkerSettings(
        device="cuda", threads=3, inter_threads=2, gpu_memory_mb=512, plan_cache=tmp_path, triton_url="grpc://a:1"
    )
    assert options_of(settings) == EngineOptions("cuda", 3, 2, 512, tmp_path, "grpc://a:1", 60.0, 60.0)
    with pytest.raises(ConfigurationError, match="SCANSTREAM_WORKER_TRITON_URL is 'triton:8000'"):
        options_of(WorkerSettings(triton_url="triton:8000"))


@pytest.mark.parametrize(("away", "wait_s", "asked"), [(0, 0.0, 1), (3, 10.0, 4), (99, 0.0, 1), (99, 5.0, 6)])
def test_a_server_that_is_not_there_yet_is_waited_for(away: int, wait_s: float, asked: int) -> None:
    now, asks, engine = [0.0], [0], OnnxEngine.__new__(OnnxEngine)

    def connect() -> Engine:
        asks[0] += 1
        if asks[0] <= away:
            raise DestinationUnavailable("away")
        return engine

    def sleep(seconds: float) -> None:
        now[0] += seconds

    if away >= 99:
        with pytest.raises(DestinationUnavailable):
            connected(connect, wait_s, lambda: now[0], sleep)
    else:
        assert connected(connect, wait_s, lambda: now[0], sleep) is engine
    assert asks[0] == asked


def test_where_plans_are_kept() -> None:
    assert plan_cache(EngineOptions(), {"XDG_CACHE_HOME": "/x"}) == Path("/x/scanstream/plans")
    assert plan_cache(EngineOptions(), {}) == Path.home() / ".cache" / "scanstream" / "plans"
    assert plan_cache(EngineOptions(plan_cache=Path("/y")), {}) == Path("/y")


def test_every_runtime_says_why_it_cannot_run() -> None:
    reasons = availability()
    assert reasons["ONNX Runtime"] is None
    assert reasons["Triton/KServe v2 over HTTP"] is None
    for reason in filter(None, reasons.values()):
        assert ":" in reason  # what is missing: what to do


@pytest.mark.skipif(TorchScriptEngine.is_available(), reason="PyTorch is installed here")
def test_without_pytorch_it_says_what_is_missing(tmp_path: Path) -> None:
    text = MIXED.replace('backend: "python"', 'backend: "pytorch"')
    with pytest.raises(ConfigurationError, match="torch is not installed: install PyTorch"):
        engine_of(write(tmp_path, "mixed", text, mixed()), model_config(text))


def test_answers_of_a_torchscript_module_take_the_names_of_the_file() -> None:
    outputs = model_config(ONNX).outputs
    arrays = [np.zeros(1, np.float32), np.zeros(1, np.bool_), np.zeros(1, np.int64)]
    assert list(named(outputs, arrays)) == ["y", "positive", "largest"]
    with pytest.raises(InvalidInput, match=r"answered with \['float32'\]"):
        named(outputs, arrays[:1])
    with pytest.raises(InvalidInput, match=r"config\.pbtxt names"):
        named(outputs, arrays[::-1])


@pytest.mark.parametrize(
    "said",
    [
        "Failed to allocate memory for requested buffer of size 17592186044416",
        "Available memory of 10 is smaller than requested bytes of 20",
        "CUDA failure 2: out of memory ; GPU=0 ; hostname=x",
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_ALLOC_FAILED",
        "CUDA out of memory. Tried to allocate 20.00 MiB",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 40 bytes",
        "std::bad_alloc",
        "bad allocation",
        "[defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)",
        "Requested amount of GPU memory (17179869184 bytes) could not be allocated.",
        "cuMemAlloc failed: out of memory",
    ],
)
def test_words_of_runtimes_without_memory(said: str) -> None:
    assert says_out_of_memory(said)


@pytest.mark.parametrize(
    "said", ["an illegal memory access was encountered", "CUDA failure 700", "CUDA failure 21: x", "not found", ""]
)
def test_words_of_other_failures(said: str) -> None:
    assert not says_out_of_memory(said)


def test_no_runtime_is_imported_before_it_is_needed() -> None:
    program = "import sys, engines.runtimes, engines.tensorrt_engine, engines.torchscript, engines.triton_grpc\n"
    program += "import engines.triton_http, engines.onnx, engines.cuda_graph\n"
    program += "names = {'onnxruntime', 'tensorrt', 'pycuda', 'torch', 'tritonclient', 'grpc', 'httpx'}\n"
    program += "print(sorted(names & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_torchscript_module_that_is_closed_gives_the_gpu_its_memory_back(
    monkeypatch: pytest.MonkeyPatch, device: Device
) -> None:
    emptied: list[bool] = []
    torch = ModuleType("torch")
    torch.__spec__ = ModuleSpec("torch", None)
    torch.__version__ = "0"  # type: ignore[attr-defined] # a module that only pretends
    torch.cuda = SimpleNamespace(
        is_available=lambda: True, empty_cache=lambda: emptied.append(engine._module is None)
    )  # type: ignore[attr-defined] # as above
    torch.jit = SimpleNamespace(load=lambda *_, **__: SimpleNamespace(eval=lambda: object()))  # type: ignore[attr-defined] # as above
    monkeypatch.setitem(sys.modules, "torch", torch)
    engine = TorchScriptEngine(Path("model.pt"), (), (), device)
    engine.close()
    engine.close()
    assert emptied == ([True] if device == "cuda" else [])
    with pytest.raises(TransientFailure, match="closed"):
        engine.infer({})
