from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations, product

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from engines.model import Model
from engines.outcome import Outcome
from engines.pipeline import run
from engines.steps import Advanced, Infer, drive
from schemas.errors import InvalidInput
from schemas.events import ResultOutcome, TaskParameters, TaskState
from tests.engines.phantom import model_of, series

AXES = [np.array(axis, float) for axis in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]


def segment(images: Sequence[Dataset], model: Model, parameters: TaskParameters | None = None) -> Outcome:
    return drive(run(images, model, parameters), model.engine.infer)


def mask_of(outcome: Outcome) -> NDArray[np.bool_]:
    (output,) = outcome.arrays
    assert output.kind == "mask"
    return output.array


def every_orientation() -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    """All 24 × 2 ways in which rows and columns of a slice can lie along patient axes, and oblique ones."""
    straight = [
        (tuple(AXES[row] * row_sign), tuple(AXES[column] * column_sign))
        for row, column in permutations(range(3), 2)
        for row_sign, column_sign in product((1, -1), repeat=2)
    ]
    turn = rotation(0.3, (1, 2, 3)) @ rotation(0.25, (0, 1, 0))
    oblique = [(tuple(turn @ np.array(row)), tuple(turn @ np.array(column))) for row, column in straight]
    return straight + oblique


def rotation(angle: float, axis: tuple[float, float, float]) -> NDArray[np.float64]:
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def marker(shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """An L off the centre with a foot in the third axis: no symmetry maps it onto itself."""
    mask = np.zeros(shape, bool)
    a, b, c = (size // 8 for size in shape)
    mask[a : 5 * a, b : 2 * b + 1, c : 3 * c] = True
    mask[a : 2 * a + 1, b : 6 * b, c : 3 * c] = True
    mask[a : 2 * a + 1, b : 2 * b + 1, c : 5 * c] = True
    return mask


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.mark.parametrize(("row", "column"), every_orientation())
def test_the_mask_lies_on_the_marker_for_every_orientation(row: tuple, column: tuple) -> None:
    shape = (24, 40, 32)
    mask = marker(shape)
    images = series(mask * 100, row=row, column=column, spacing_mm=(4, 1.5, 2))
    model, _ = model_of((64, 64, 64))
    outcome = segment(images[::-1], model)
    by_uid = dict(zip(outcome.sop_instance_uids, mask_of(outcome), strict=True))
    native = np.stack([by_uid[image.SOPInstanceUID] for image in images])
    assert dice(native, mask) > 0.95


@pytest.mark.parametrize(("row", "column"), every_orientation()[:24])
def test_the_grid_of_the_model_gives_the_marker_exactly(row: tuple, column: tuple) -> None:
    mask = marker((32, 32, 32))
    model, _ = model_of((32, 32, 32))
    outcome = segment(series(mask * 7, row=row, column=column), model)
    np.testing.assert_array_equal(mask_of(outcome), mask)
    assert outcome.found[0].measurements[0].value == pytest.approx(mask.sum() / 1000, abs=0.05)


@pytest.mark.parametrize(("row", "column"), every_orientation()[:24])
def test_the_model_sees_right_anterior_superior(row: tuple, column: tuple) -> None:
    """A point 9 mm right, 5 mm in front and 3 mm above the centre is seen there by the model."""
    size, spacing, origin = 16, 2.0, np.array((-50, -60, -70))
    steps = np.column_stack([np.cross(row, column), column, row]) * spacing
    centre = origin + steps @ np.full(3, (size - 1) / 2)
    point = centre + np.array((-9, -5, 3))  # LPS: right is −x, anterior is −y
    voxels = np.ones((size, size, size))
    voxels[tuple(np.rint(np.linalg.solve(steps, point - origin)).astype(int))] = 50
    model, engine = model_of((size, size, size))
    segment(series(voxels, row=row, column=column, spacing_mm=(spacing,) * 3), model)
    assert engine.seen is not None
    assert engine.seen.max() == 1
    brightest = np.array(np.unravel_index(int(engine.seen.argmax()), engine.seen.shape))
    assert (brightest - (size - 1) / 2) * spacing == pytest.approx((9, 5, 3))


def test_volume_comes_from_positions() -> None:
    mask = np.zeros((8, 64, 64), bool)
    mask[2:6, 16:48, 16:48] = True
    model, _ = model_of((128, 128, 128))
    outcome = segment(series(mask * 9, spacing_mm=(7, 0.5, 0.5)), model)
    assert outcome.found[0].measurements[0].value == pytest.approx(mask.sum() * 7 * 0.25 / 1000, rel=0.03)
    measurement = outcome.found[0].measurements[0]
    assert (measurement.code.value, measurement.code.scheme, measurement.unit.value) == ("118565006", "SCT", "mL")
    assert any("7.0 mm" in warning for warning in outcome.out_of_domain_warnings)


def test_order_of_the_images_does_not_matter() -> None:
    images = series(np.random.default_rng(2).integers(0, 900, (6, 20, 20)))
    model, _ = model_of((32, 32, 32))
    one, other = segment(images, model), segment(images[::-1], model)
    np.testing.assert_array_equal(mask_of(one), mask_of(other))
    assert one.found == other.found
    assert one.sop_instance_uids == other.sop_instance_uids


def test_an_empty_mask_is_an_answer() -> None:
    model, _ = model_of((16, 16, 16), lambda grid: grid * 0)
    outcome = segment(series(np.ones((3, 4, 4))), model)
    assert outcome.outcome is ResultOutcome.NO_FINDINGS
    assert outcome.found == outcome.arrays == ()
    assert "No brain was found." in outcome.out_of_domain_warnings


def test_stages_are_announced_and_timed() -> None:
    ticks = iter(range(100))
    model, _ = model_of((16, 16, 16))
    way = run(series(np.ones((3, 4, 4))), model, None, lambda: float(next(ticks)))
    seen: list[Advanced | Infer] = [next(way)]
    with pytest.raises(StopIteration) as end:
        while True:
            step = seen[-1]
            seen.append(way.send(model.engine.infer(step.tensors) if isinstance(step, Infer) else None))
    told = [step.state if isinstance(step, Advanced) else "infer" for step in seen]
    assert list(dict.fromkeys(told)) == [
        TaskState.PREPROCESSING,
        TaskState.INFERRING,
        "infer",
        TaskState.POSTPROCESSING,
    ]
    outcome = end.value.value
    assert [(stage.name, stage.duration_ms) for stage in outcome.stages] == [
        ("preprocessing", 1000),
        ("inferring", 1000),
        ("postprocessing", 1000),
    ]
    assert outcome.outcome is ResultOutcome.FINDINGS


def test_a_run_can_be_given_up_between_two_steps() -> None:
    model, engine = model_of((16, 16, 16))
    way = run(series(np.ones((3, 4, 4))), model)
    next(way)
    way.close()
    assert engine.seen is None


def test_the_requester_may_ask_for_another_threshold() -> None:
    voxels = np.full((4, 8, 8), 40)
    voxels[1:3, 2:6, 2:6] = 100
    model, _ = model_of((8, 8, 4))
    images = series(voxels)
    assert mask_of(segment(images, model, TaskParameters(confidence_threshold=0.3))).all()
    assert not mask_of(segment(images, model, TaskParameters(confidence_threshold=0.6))).all()


def test_black_images_and_broken_output_are_told_apart() -> None:
    model, _ = model_of((16, 16, 16))
    with pytest.raises(InvalidInput, match="no voxel of the series is positive"):
        segment(series(np.zeros((3, 4, 4))), model)
    broken, _ = model_of((16, 16, 16), lambda grid: grid * np.float32(np.nan))
    with pytest.raises(InvalidInput, match="no finite numbers"):
        segment(series(np.ones((3, 4, 4))), broken)
