"""What every runtime must keep: of the same graph and arrays the same answer, and the same words when it fails."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
import pytest

from engines.base import Engine
from engines.config_pbtxt import TensorSpec
from schemas.errors import InvalidInput, TransientFailure
from tests.engines.runtimes.graphs import Arrays, mixed_answer, mixed_inputs


class EngineContract(ABC):
    """Over one engine that holds the graph ``mixed``."""

    @pytest.fixture
    @abstractmethod
    def engine(self) -> Iterator[Engine]:
        """The engine, closed afterwards."""

    def test_says_what_it_is_and_what_the_graph_takes(self, engine: Engine) -> None:
        assert engine.is_available()
        assert engine.unavailable() is None
        assert len(engine.identity().split()) >= 2
        assert sorted(engine.inputs(), key=str) == [
            TensorSpec("shift", "int64", (-1, 1, 1)),
            TensorSpec("x", "float32", (-1, 3, -1)),
        ]
        assert {spec.name: (spec.dtype, len(spec.dims)) for spec in engine.outputs()} == {
            "y": ("float32", 3),
            "positive": ("bool", 3),
            "largest": ("int64", 2),
        }

    @pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (4, 5), (8, 1000)])
    def test_same_inputs_same_outputs(self, engine: Engine, rows: int, columns: int) -> None:
        inputs = mixed_inputs(rows, columns)
        agree(engine.infer(inputs), mixed_answer(inputs))

    def test_shapes_may_change_from_call_to_call(self, engine: Engine) -> None:
        for rows, columns in ((1, 4), (3, 9), (1, 4), (1, 4), (2, 2)):
            inputs = mixed_inputs(rows, columns, seed=rows * columns)
            agree(engine.infer(inputs), mixed_answer(inputs))

    def test_arrays_with_gaps_and_of_the_other_byte_order(self, engine: Engine) -> None:
        dense = mixed_inputs(2, 6)
        wide = mixed_inputs(4, 12, seed=8)
        inputs = {"x": wide["x"][::2, :, 1::2].astype(">f4"), "shift": dense["shift"][::-1]}
        agree(engine.infer(inputs), mixed_answer({name: np.array(array) for name, array in inputs.items()}))

    def test_inputs_stay_and_outputs_are_the_callers(self, engine: Engine) -> None:
        first = mixed_inputs(2, 4)
        kept = {name: array.copy() for name, array in first.items()}
        for array in first.values():
            array.setflags(write=False)
        answer = engine.infer(first)
        engine.infer(mixed_inputs(2, 4, seed=99))
        agree(answer, mixed_answer(kept))
        assert all(np.array_equal(first[name], kept[name]) for name in kept)
        for array in answer.values():
            array[...] = 0

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"x": None}, r"\['shift', 'x'\]|\['x', 'shift'\]"),
            ({"other": np.zeros(1, np.float32)}, "other"),
            ({"x": np.zeros((1, 3, 4), np.float64)}, r"input x .* float64 \[1, 3, 4\]"),
            ({"x": np.zeros((1, 4, 4), np.float32)}, r"input x .* float32 \[1, 4, 4\]"),
            ({"x": np.zeros((3, 4), np.float32)}, r"input x .* float32 \[3, 4\]"),
            ({"x": np.zeros((1, 3, 0), np.float32)}, r"input x .* float32 \[1, 3, 0\]"),
        ],
        ids=["missing", "unknown", "dtype", "shape", "rank", "empty"],
    )
    def test_what_the_graph_does_not_take_is_invalid_and_named(
        self, engine: Engine, wrong: Arrays, said: str
    ) -> None:
        inputs = {name: array for name, array in (mixed_inputs(1, 4) | wrong).items() if array is not None}
        with pytest.raises(InvalidInput, match=said):
            engine.infer(inputs)
        inputs = mixed_inputs(1, 4)
        agree(engine.infer(inputs), mixed_answer(inputs))

    def test_one_call_at_a_time_from_any_thread(self, engine: Engine) -> None:
        inputs = [mixed_inputs(2, 16, seed=seed) for seed in range(6)]
        answers: dict[int, Arrays] = {}
        for seed in range(6):
            thread = threading.Thread(target=lambda at=seed: answers.update({at: engine.infer(inputs[at])}))
            thread.start()
            thread.join()
        for seed in range(6):
            agree(answers[seed], mixed_answer(inputs[seed]))

    def test_no_numbers_pass_through(self, engine: Engine) -> None:
        inputs = mixed_inputs(1, 3)
        inputs["x"][0, 0] = [np.nan, np.inf, -np.inf]
        answer = engine.infer(inputs)
        np.testing.assert_array_equal(answer["y"], mixed_answer(inputs)["y"])

    def test_closed_twice_it_runs_no_more(self, engine: Engine) -> None:
        engine.infer(mixed_inputs(1, 2))
        engine.close()
        engine.close()
        with pytest.raises(TransientFailure, match="closed"):
            engine.infer(mixed_inputs(1, 2))


def agree(answer: Arrays, expected: Arrays) -> None:
    assert sorted(answer) == sorted(expected)
    for name, array in expected.items():
        assert answer[name].dtype == array.dtype
        np.testing.assert_allclose(answer[name], array, rtol=1e-6, atol=1e-6)
