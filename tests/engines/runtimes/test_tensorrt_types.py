"""Our TensorRT code against what TensorRT 10 has, as far as that can be told without a GPU.

Its types are those of tensorrt-stubs (generated from the binding of 10.13, the newest there are); the names
are also looked for in the binding of the release that the extra ``gpu`` names, which needs a driver to be loaded.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.engines.runtimes.peers import environment

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
OURS = ("engines/tensorrt_engine.py", "engines/tensorrt_build.py")


STUBS = "tensorrt-stubs==10.13.0.35.1"
#: What we call; the binding holds the names of its functions as text.
CALLED = (
    *("Builder", "create_network", "create_builder_config", "build_serialized_network"),
    *(
        "create_optimization_profile",
        "set_shape",
        "add_optimization_profile",
        "set_flag",
        "clear_flag",
        "set_memory_pool_limit",
    ),
    *("OnnxParser", "parse_from_file", "num_errors", "get_error", "num_inputs", "get_input"),
    *("Runtime", "deserialize_cuda_engine", "create_execution_context", "num_io_tensors", "get_tensor_name"),
    *("get_tensor_mode", "get_tensor_dtype", "get_tensor_shape", "set_input_shape", "set_tensor_address"),
    *("execute_async_v3", "ILogger", "WORKSPACE", "FP16", "TF32", "TensorIOMode", "INPUT"),
)


def test_every_call_of_tensorrt_is_one_that_it_has_and_another_is_found(tmp_path: Path) -> None:
    stubs = stubs_of(tmp_path)
    assert check(stubs, tmp_path) == ""
    stub = stubs / "tensorrt" / "__init__.pyi"
    text = stub.read_text()
    stub.write_text(text.replace("def parse_from_file(self, model: str)", "def parse_from_file(self)"))
    assert "Too many arguments" in check(stubs, tmp_path)


def test_the_release_of_the_extra_has_every_name() -> None:
    version = pinned("tensorrt")
    home = environment(f"tensorrt-{version}", [f"tensorrt-cu12-bindings=={version}"])
    (library,) = home.glob("lib/python*/site-packages/tensorrt_bindings/tensorrt.so")
    binding = library.read_bytes()
    assert [name for name in CALLED if name.encode() + b"\0" not in binding] == []
    assert b"execute_async_v99\0" not in binding


def pinned(name: str) -> str:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return next(each.removeprefix(f"{name}==") for each in extras["gpu"] if each.startswith(f"{name}=="))


def stubs_of(folder: Path) -> Path:
    home = environment("tensorrt-stubs-10.13", [STUBS])
    (source,) = home.glob("lib/python*/site-packages/tensorrt_bindings/tensorrt.pyi")
    stubs = folder / "stubs"
    (stubs / "tensorrt").mkdir(parents=True)
    text = without_broken_lines(source.read_text())
    text += "\n__version__: str\ndef nptype(trt_type: DataType) -> typing.Any: ...\n"
    (stubs / "tensorrt" / "__init__.pyi").write_text(text)
    return stubs


def without_broken_lines(text: str) -> str:
    """The stub as Python: it was generated, and some lines of it (parameters named ``in``) are none."""
    lines = text.splitlines()
    for _ in range(200):
        try:
            ast.parse("\n".join(lines))
        except SyntaxError as error:
            at = int(error.lineno or 1) - 1
            indent = re.match(" *", lines[at])[0]  # type: ignore[index]
            lines[at] = f"{indent}def broken_{at}(self) -> None:" if "def " in lines[at] else ""
        else:
            return "\n".join(lines)
    raise AssertionError("the stub cannot be read")


def check(stubs: Path, folder: Path) -> str:
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
    # the stubs do not know that a call may give None, which its own description says
    command += ["--cache-dir", str(folder / "cache"), "--follow-imports", "silent", "--no-warn-unreachable", *OURS]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "MYPYPATH": str(stubs)}, capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stdout.splitlines() if line.startswith("engines/")]
    assert ours or done.returncode in (0, 1), done.stdout + done.stderr
    return "\n".join(ours)
