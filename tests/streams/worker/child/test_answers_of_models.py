"""Models that passed their validation and answer otherwise, and models that cannot serve: what a task is told.

Real graphs in ONNX Runtime, a real repository and scheduler; images in memory.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper

from engines.repository import RELEASED
from engines.runtimes import engine_of
from engines.serving import open_repository
from schemas.events import InferenceResult, ResultOutcome
from streams.clock import system_clock
from streams.worker.answers import RETRY_DELAYS_S, Answer
from streams.worker.child.work import Tasks
from streams.worker.protocol import Begin, Ended
from tests.engines import tiny
from tests.engines.phantom import series
from tests.streams.worker.child.test_work import Shelf
from tests.streams.worker.child.works import P3, Work, rank_of
from tests.streams.worker.tasks import MODEL, task_for

IMAGES = series(np.full((8, 8, 8), 9), spacing_mm=(5, 3, 3), name="answers")
LAST = len(RETRY_DELAYS_S) + 1


def asked(root: Path, model: str = tiny.NAME, **changes: object) -> Answer:
    """Answer of a node with this repository."""
    work = Work(Tasks(open_repository(root, engine_of), Shelf(IMAGES), "node-1", system_clock).steps)
    task = task_for(IMAGES, "http://gw", P3, model_name=model, **changes)
    work.begin(Begin(task, rank_of(P3)))
    answer = work.next(Ended).answer
    work.close()
    return answer


def reason_of(answer: Answer) -> str:
    result = answer.events[0][2]
    assert isinstance(result, InferenceResult), answer
    assert result.outcome is ResultOutcome.COULD_NOT_RUN
    return result.reason or ""


def otherwise(*nodes: NodeProto) -> bytes:
    """A graph that halves the ramp of the validation set, and does ``nodes`` (in → out) to anything else."""
    value, node = helper.make_tensor_value_info, helper.make_node
    free = ["n", "x", "y", "z", "c"]
    usual = helper.make_graph(
        [node("Mul", ["in", "half"], ["a"])], "usual", [], [value("a", TensorProto.FLOAT, free)]
    )
    other = helper.make_graph(list(nodes), "other", [], [value("b", TensorProto.FLOAT, free)])
    graph = helper.make_graph(
        [
            node("ReduceMean", ["in"], ["mean"], keepdims=0),
            node("Sub", ["mean", "middle"], ["off"]),
            node("Abs", ["off"], ["distance"]),
            node("Less", ["distance", "little"], ["ramp"]),
            node("If", ["ramp"], ["out"], then_branch=usual, else_branch=other),
        ],
        "otherwise",
        [value("in", TensorProto.FLOAT, ["n", *tiny.GRID, 1])],
        [value("out", TensorProto.FLOAT, free)],
        [
            helper.make_tensor("half", TensorProto.FLOAT, [1], [0.5]),
            helper.make_tensor("middle", TensorProto.FLOAT, [], [0.5]),
            helper.make_tensor("little", TensorProto.FLOAT, [], [0.01]),
            helper.make_tensor("nan", TensorProto.FLOAT, [1], [float("nan")]),
            helper.make_tensor("huge", TensorProto.INT64, [5], [1 << 40, 4, 4, 4, 1]),
            helper.make_tensor("first", TensorProto.INT64, [1], [0]),
            helper.make_tensor("second", TensorProto.INT64, [1], [2]),
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
            helper.make_tensor("nowhere", TensorProto.INT64, [1], [99]),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    content: bytes = made.SerializeToString()
    return content


def repository(root: Path, *nodes: NodeProto, rows: int = 0) -> Path:
    own = tiny.add_version(root, 1)
    (own / "model.onnx").write_bytes(otherwise(*nodes))
    tiny.write_info(own, "1.0")
    if rows:
        config = own.parent / "config.pbtxt"
        text = config.read_text().replace("max_batch_size: 0", f"max_batch_size: {rows}")
        config.write_text(text.replace("[ 1, 4, 4, 4, 1 ]", "[ 4, 4, 4, 1 ]"))
    return root


NODE = helper.make_node


@pytest.mark.parametrize(
    ("nodes", "rows", "said"),
    [
        (
            [NODE("Mul", ["in", "nan"], ["b"])],
            0,
            "values that are no finite numbers .* check the images and the model",
        ),
        (
            [NODE("Mul", ["in", "nan"], ["b"])],
            4,
            "values that are no finite numbers .* check the images and the model",
        ),
        (
            [NODE("Slice", ["in", "first", "second", "axis"], ["b"])],
            0,
            r"the output out has the size \[2, 4, 4\] and the input \[4, 4, 4\]",
        ),
        (
            [NODE("Concat", ["in", "in"], ["b"], axis=0)],
            0,
            r"shape \[2, 4, 4, 4, 1\] for 1 rows: correct the model",
        ),
        ([NODE("Concat", ["in", "in"], ["b"], axis=0)], 4, "for 1 rows: set max_batch_size to 0"),
        ([NODE("Squeeze", ["in", "first"], ["b"])], 0, "the output out has the shape"),
        ([NODE("Gather", ["in", "nowhere"], ["b"], axis=1)], 0, "ONNX Runtime: .* does not take this input"),
    ],
    ids=["nan", "nan in rows", "size", "rows", "rows of a batch", "axes", "index"],
)
def test_an_answer_that_is_none_is_said_and_never_tried_again(
    tmp_path: Path, nodes: list[NodeProto], rows: int, said: str
) -> None:
    answer = asked(repository(tmp_path, *nodes, rows=rows))
    assert answer.retry is None
    assert re.search(said, reason_of(answer)), reason_of(answer)


@pytest.mark.parametrize("rows", [0, 4])
def test_no_memory_for_one_row_is_tried_on_another_node_and_then_said(tmp_path: Path, rows: int) -> None:
    repository(tmp_path, NODE("Expand", ["in", "huge"], ["b"]), rows=rows)
    first = asked(tmp_path)
    assert first.retry is not None
    assert first.retry.excluded_nodes == ("node-1",)
    assert "a smaller batch is tried, then another node" in str(first.error)
    assert "ONNX Runtime" in reason_of(asked(tmp_path, attempt=LAST))


def wrong_opset(own: Path) -> None:
    (own / "model.onnx").write_bytes(tiny.graph(0.5, opset=99))
    tiny.write_info(own, "1.0")


def lie(own: Path) -> None:
    config = own.parent / "config.pbtxt"
    config.write_text(config.read_text().replace("TYPE_FP32", "TYPE_FP16", 1))


def other_answer(own: Path) -> None:
    shutil.rmtree(own)
    tiny.add_version(own.parents[1], 1, expected=7.0)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (wrong_opset, "opset 99 and ONNX Runtime .* export the model for opset"),
        (lie, "input in of the graph: data_type is float16 and the graph has float32: correct it"),
        (other_answer, "does not answer its validation case ramp as recorded"),
    ],
)
def test_a_model_of_which_no_version_can_serve_is_tried_elsewhere_and_then_says_why(
    tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    (tmp_path / MODEL).symlink_to(RELEASED / MODEL)  # the node serves something
    damage(tiny.add_version(tmp_path, 1))
    first = asked(tmp_path)
    assert first.retry is not None
    assert first.retry.excluded_nodes == ("node-1",)
    assert re.search(
        f"no version of tiny can serve on this node .*{said}", reason_of(asked(tmp_path, attempt=LAST))
    )
