"""Batches on the real runtime give what single requests give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from engines.onnx import OnnxEngine
from schemas.errors import InvalidInput
from streams.worker.child.batches import PATIENCE, Batches
from tests.streams.worker.child.works import RowEngine, model


@pytest.fixture
def convolution(tmp_path: Path) -> OnnxEngine:
    """A convolution, a normalisation over each row and a sigmoid: what real networks are made of."""
    weights = np.random.default_rng(1).normal(size=(4, 1, 3, 3, 3)).astype(np.float32)
    dims = ["n", 1, 8, 8, 8]
    nodes = [
        helper.make_node("Conv", ["in", "w"], ["c"], pads=[1] * 6),
        helper.make_node("InstanceNormalization", ["c", "scale", "bias"], ["i"]),
        helper.make_node("Sigmoid", ["i"], ["out"]),
    ]
    constants = [
        helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.ravel()),
        helper.make_tensor("scale", TensorProto.FLOAT, [4], [1.0] * 4),
        helper.make_tensor("bias", TensorProto.FLOAT, [4], [0.0] * 4),
    ]
    graph = helper.make_graph(
        nodes,
        "convolution",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 4, 8, 8, 8])],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    path = tmp_path / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return OnnxEngine(path, threads=1)


def test_each_row_of_a_batch_is_what_it_would_have_been_alone(convolution: OnnxEngine) -> None:
    noise = np.random.default_rng(2)
    requests = [{"in": noise.normal(size=(rows, 1, 8, 8, 8)).astype(np.float32)} for rows in (1, 2, 1, 3)]
    made = model(convolution, most_rows=4)
    batches = Batches()
    together = batches.run(made, requests)
    for request, reply in zip(requests, together, strict=True):
        assert not isinstance(reply, Exception)
        alone = convolution.infer(request)
        assert reply["out"].shape == alone["out"].shape
        np.testing.assert_allclose(reply["out"], alone["out"], rtol=0, atol=1e-6)
        assert reply["out"].base is None or reply["out"].base.shape == reply["out"].shape


def test_a_graph_without_rows_gets_its_input_as_it_is() -> None:
    engine = RowEngine()
    (reply,) = Batches().run(model(engine), [{"in": np.ones((5, 2), np.float32)}])
    assert not isinstance(reply, Exception)
    assert engine.seen == [[1] * 5]


def test_outputs_that_do_not_have_the_rows_are_not_told_apart() -> None:
    class Sums(RowEngine):
        def infer(self, tensors: Any) -> dict[str, Any]:
            return {"out": tensors["in"].sum(axis=0, keepdims=True)}

    request = {"in": np.ones((1, 2), np.float32)}
    one, other = Batches().run(model(Sums(), most_rows=4), [request, request])
    assert not isinstance(one, Exception), "each alone has one row"
    assert not isinstance(other, Exception)
    (wrong,) = Batches().run(model(Sums(), most_rows=4), [{"in": np.ones((2, 2), np.float32)}])
    assert isinstance(wrong, InvalidInput), "the same images give the same shape"
    assert "max_batch_size" in str(wrong)


def test_a_size_that_was_too_much_once_is_tried_again_much_later() -> None:
    from schemas.errors import OutOfMemory

    room = [2]

    def little(rows: Any) -> None:
        if len(rows) > room[0]:
            raise OutOfMemory("no room")

    engine = RowEngine(little)
    made, batches = model(engine, most_rows=8), Batches()
    batches.run(made, [{"in": np.ones((8, 2), np.float32)}])
    assert [len(rows) for rows in engine.seen] == [8, 4, 2, 2, 2, 2]
    assert batches.most_rows(made) == 2
    room[0] = 8
    for _ in range(2 * PATIENCE):
        batches.run(made, [{"in": np.ones((1, 2), np.float32)}])
    assert batches.most_rows(made) == 8
