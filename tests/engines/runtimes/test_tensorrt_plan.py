from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.buffers import ALIGNMENT, layout
from engines.config_pbtxt import ModelConfig, model_config
from engines.plan_cache import PlanCache
from engines.tensorrt_plan import BuildOptions, Gpu, Range, build_options, plan_name
from schemas.errors import ConfigurationError


def config(dims: str = "1, 64, 64", batch: int = 8, parameters: str = "", more: str = "") -> ModelConfig:
    return model_config(
        f"""
        name: "m" platform: "onnxruntime_onnx" max_batch_size: {batch}
        input {{ name: "a:0" data_type: TYPE_FP32 dims: [ {dims} ] }}
        output {{ name: "y" data_type: TYPE_FP32 dims: 1 }}
        optimization {{
          execution_accelerators {{ gpu_execution_accelerator {{ name: "tensorrt" {parameters} }} }}
        }}
        {more}
        """
    )


def parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value: "{value}" }} '


def bounds(smallest: str, usual: str, largest: str) -> str:
    values = zip(("min", "opt", "max"), (smallest, usual, largest), strict=True)
    return "".join(parameter(f"trt_profile_{bound}_shapes", value) for bound, value in values)


def test_the_batch_axis_goes_from_one_to_the_most_rows() -> None:
    assert build_options(config()).profile == {"a:0": Range((1, 1, 64, 64), (8, 1, 64, 64), (8, 1, 64, 64))}


def test_the_largest_preferred_batch_is_what_it_is_fastest_for() -> None:
    preferred = config(more="dynamic_batching { preferred_batch_size: [ 4, 2 ] }")
    assert build_options(preferred).profile["a:0"].optimum == (4, 1, 64, 64)


def test_a_graph_without_batch_axis_has_one_shape() -> None:
    assert build_options(config(batch=0)).profile == {"a:0": Range((1, 64, 64), (1, 64, 64), (1, 64, 64))}


def test_free_axes_take_the_shapes_that_are_given() -> None:
    given_shapes = config("1, -1, -1", 8, bounds("a:0:1x1x32x32", "a:0:2x1x256x256", "a:0:4x1x512x512"))
    assert build_options(given_shapes).profile == {
        "a:0": Range((1, 1, 32, 32), (2, 1, 256, 256), (4, 1, 512, 512))
    }


def test_precision_and_workspace() -> None:
    options = build_options(config(parameters=parameter("precision_mode", "FP16")))
    assert (options.half, options.workspace_bytes) == (True, None)
    limited = config(parameters=parameter("max_workspace_size_bytes", str(1 << 30)))
    assert build_options(limited).workspace_bytes == 1 << 30
    assert build_options(limited, gpu_memory_mb=512).workspace_bytes == 512 << 20
    assert build_options(limited, gpu_memory_mb=4096).workspace_bytes == 1 << 30


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (config("1, -1, 64"), r"trt_profile_min_shapes .* is missing and dims of a:0 is \[-1, 1, -1, 64\]"),
        (
            config(parameters=parameter("precision_mode", "INT8")),
            "precision_mode .* is 'INT8': only FP32 and FP16",
        ),
        (config(parameters=parameter("precision", "FP16")), "parameter precision .* is unknown"),
        (config(parameters=parameter("max_workspace_size_bytes", "1GB")), "max_workspace_size_bytes .* is '1GB'"),
        (config("-1", 1, bounds("a:0=1x1", "a:0:1x1", "a:0:1x1")), "min_shapes .* write input:1x3x64x64"),
        (
            config("-1", 1, bounds("b:1x1", "a:0:1x1", "a:0:1x1")),
            r"min_shapes .* names \['b'\], which is no input",
        ),
        (config("-1", 1, bounds("a:0:1x9", "a:0:1x5", "a:0:1x9")), "opt_shapes .* does not lie between"),
        (config("-1", 1, bounds("a:0:1x1", "a:0:1x5", "a:0:2x9")), r"\[2, 9\] and max_batch_size is 1"),
        (config("3, -1", 1, bounds("a:0:1x3x1", "a:0:1x3x1", "a:0:1x4x1")), r"\[1, 4, 1\] and dims of a:0"),
        (config("-1", 1, bounds("a:0:1x1x1", "a:0:1x1", "a:0:1x1")), r"\[1, 1, 1\] and dims of a:0"),
    ],
)
def test_what_contradicts_itself_is_named_with_both_values(wrong: ModelConfig, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        build_options(wrong)


OPTIONS = BuildOptions(False, None, {"x": Range((1, 3), (4, 3), (8, 3))})
SHA256 = "a" * 64


def test_a_plan_has_another_name_when_anything_is_another() -> None:
    def name(**changes: object) -> str:
        given_values = {
            "sha256": SHA256,
            "version": "10.16.1",
            "gpu": Gpu("NVIDIA A10", "8.6"),
            "options": OPTIONS,
        }
        return plan_name(*(given_values | changes).values())  # type: ignore[arg-type]

    others = [
        name(sha256="b" * 64),
        name(sha256="a" * 63 + "b"),
        name(version="10.16.2"),
        name(gpu=Gpu("NVIDIA A10G", "8.6")),
        name(gpu=Gpu("NVIDIA-A10", "8.6")),
        name(gpu=Gpu("NVIDIA A10", "8.9")),
        name(options=replace(OPTIONS, half=True)),
        name(options=replace(OPTIONS, workspace_bytes=1)),
        name(options=replace(OPTIONS, profile={"x": Range((1, 3), (4, 3), (9, 3))})),
        name(options=replace(OPTIONS, profile={"y": Range((1, 3), (4, 3), (8, 3))})),
        name(options=replace(OPTIONS, profile={"x": Range((1, 3), (5, 3), (8, 3))})),
        name(options=replace(OPTIONS, profile={"x": Range((2, 3), (4, 3), (8, 3))})),
        name(options=replace(OPTIONS, tf32=True)),
    ]
    tried = {"half", "workspace_bytes", "profile", "tf32"}
    assert {each.name for each in fields(BuildOptions)} == tried, "try the new one too"
    assert len({name(), *others}) == 1 + len(others)
    assert name() == name()
    assert name().startswith("aaaaaaaaaaaaaaaa-trt10.16.1-nvidia-a10-")
    assert "/" not in name(gpu=Gpu("../odd / name", "8.6"))


def test_a_plan_is_built_once_and_whole(tmp_path: Path) -> None:
    cache, built = PlanCache(tmp_path / "new" / "plans"), []

    def build() -> bytes:
        built.append(1)
        return b"plan"

    assert cache.get("p.plan", build) == cache.get("p.plan", build) == b"plan"
    assert len(built) == 1
    cache.forget("p.plan")
    cache.forget("p.plan")
    assert cache.get("p.plan", build) == b"plan"
    assert len(built) == 2


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def build() -> bytes:
        raise ConfigurationError("no")

    with pytest.raises(ConfigurationError, match="no"):
        PlanCache(tmp_path).get("p.plan", build)
    assert [path.name for path in tmp_path.iterdir()] == ["p.plan.lock"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="SCANSTREAM_WORKER_PLAN_CACHE"):
        PlanCache(tmp_path / "file" / "plans").get("p.plan", lambda: b"")


ASK = """
import sys, time
from pathlib import Path
from engines.plan_cache import PlanCache

def build():
    print("built", end=" ")
    time.sleep(0.3)
    return b"x" * 100_000

print(len(PlanCache(Path(sys.argv[1])).get("p.plan", build)))
"""


def test_of_several_processes_one_builds(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ASK, str(tmp_path)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = sorted(child.communicate(timeout=120)[0].strip() for child in children)
    assert said == ["100000", "100000", "100000", "built 100000"]


shapes = st.lists(st.integers(0, 9), max_size=4).map(tuple)
dtypes = st.sampled_from(["float32", "float16", "int64", "bool", "uint8", "float64"])


@given(st.lists(st.tuples(dtypes, shapes), max_size=6))
def test_tensors_in_a_block_are_aligned_and_do_not_touch(tensors: list[tuple[str, tuple[int, ...]]]) -> None:
    plan = layout((f"t{number}", *tensor) for number, tensor in enumerate(tensors))
    block = np.zeros(plan.size, np.uint8)
    for number, place in enumerate(plan.places):
        view = place.view(block)
        assert (view.dtype, view.shape) == (np.dtype(place.dtype), place.shape)
        assert place.offset % ALIGNMENT == 0
        view[...] = number % 2
    for number, place in enumerate(plan.places):
        assert (place.view(block) == number % 2).all()


def test_a_free_axis_has_no_place() -> None:
    with pytest.raises(ValueError, match="only known shapes"):
        layout([("x", "float32", (1, -1))])
