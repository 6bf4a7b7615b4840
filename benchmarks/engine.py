"""What the engine's wrapper costs: ours against bare ONNX Runtime on the same arrays, in turns, in one run.

Goal: at least 90 % of the bare throughput, for a large volume and for small graphs. Both compute in the calling
thread, and its CPU time counts, so that what else the machine does matters little; the two take turns, and the
median is told.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from benchmarks.report import Row, arguments, publish
from engines.base import Engine
from engines.config_pbtxt import model_config
from engines.repository import RELEASED
from engines.runtimes import EngineOptions, engine_of

Arrays = dict[str, NDArray[Any]]

_SMALL = """
name: "small" backend: "onnxruntime" max_batch_size: 64
input { name: "x" data_type: TYPE_FP32 dims: [ 1, 256, 256 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 1, 256, 256 ] }
"""


@dataclass(frozen=True)
class Case:
    """One graph, and arrays for it."""

    name: str
    path: Path
    config: str
    arrays: Arrays
    rounds: int


def main() -> int:
    """Measure and publish."""
    options = arguments(str(__doc__)).parse_args()
    random = np.random.default_rng(22112026)
    with small_graph() as path:
        cases = [
            Case("2-D, 1 row of 256 x 256", path, _SMALL, _rows(random, 1), 100 if options.quick else 500),
            Case("2-D, 16 rows of 256 x 256", path, _SMALL, _rows(random, 16), 30 if options.quick else 150),
            brain(random, 2 if options.quick else 9),
        ]
        rows = [row for case in cases for row in measured(case)]
    publish("Engine: our wrapper beside bare ONNX Runtime", rows, options.json)
    return 0


def measured(case: Case) -> list[Row]:
    """Throughput of both, and what a call costs more."""
    ours = engine_of(case.path, model_config(case.config), EngineOptions(threads=1))
    bare = _bare(case.path)
    names = [spec.name for spec in ours.outputs()]
    calls = (lambda: _ours(ours, case.arrays), lambda: bare.run(names, case.arrays))
    times: tuple[list[float], list[float]] = ([], [])
    for call in calls:
        call()
    for round_ in range(case.rounds):
        # who is second finds warmer caches, so they change places
        for which in (0, 1) if round_ % 2 else (1, 0):
            times[which].append(_timed(calls[which]))
    ours.close()
    mine, theirs = (statistics.median(each) for each in times)
    return [
        Row(case.name, 60 / mine, "runs/CPU min", f"onnxruntime {onnxruntime.__version__}", 60 / theirs),
        Row(f"{case.name}: more per run", (mine - theirs) * 1e6, "us"),
    ]


def brain(random: np.random.Generator, rounds: int) -> Case:
    """The released segmentation of 128 voxels cubed."""
    folder = RELEASED / "mri-brain-segmentation"
    volume = random.random((1, 128, 128, 128, 1), np.float32)
    text = (folder / "config.pbtxt").read_text(encoding="utf-8")
    return Case("brain segmentation, 128 cubed", folder / "1" / "model.onnx", text, {"img_in:0": volume}, rounds)


@contextmanager
def small_graph() -> Iterator[Path]:
    """A convolution on small images, written until the block ends: a run takes little, so a wrapper shows."""
    value = helper.make_tensor_value_info
    shape = ["n", 1, 256, 256]
    kernel = np.full((1, 1, 3, 3), 1 / 9, np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        "small",
        [value("x", TensorProto.FLOAT, shape)],
        [value("y", TensorProto.FLOAT, shape)],
        [helper.make_tensor("w", TensorProto.FLOAT, kernel.shape, kernel.ravel().tolist())],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with tempfile.TemporaryDirectory(prefix="scanstream-") as folder:
        path = Path(folder) / "small" / "1" / "model.onnx"
        path.parent.mkdir(parents=True)
        path.write_bytes(model.SerializeToString())
        yield path


def _rows(random: np.random.Generator, count: int) -> Arrays:
    return {"x": random.random((count, 1, 256, 256), np.float32)}


def _bare(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _ours(engine: Engine, arrays: Arrays) -> Arrays:
    return engine.infer(arrays)


def _timed(call: Callable[[], object]) -> float:
    started = time.thread_time()
    call()
    return time.thread_time() - started


if __name__ == "__main__":
    sys.exit(main())
