"""What holds for any size, orientation and grid: turned and resampled there and back, nothing moves."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engines.boxes import overlaps, suppressed
from engines.input_policy import Tiles
from engines.placement import placed, weights
from engines.resample import orientation_of, resample, resample_slices
from engines.stitch import Stitcher
from schemas.errors import InvalidInput
from tests.engines.phantom import policy

SIZES = st.tuples(*[st.integers(1, 9)] * 3)
CODES = ["".join(ends) for axes in permutations(("RL", "AP", "SI")) for ends in product(*axes)]


def volumes(shape: tuple[int, int, int]) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.float32, shape, elements=st.floats(-1000, 1000, width=32))


@st.composite
def affines(draw: st.DrawFn) -> np.ndarray:
    """Any rotation with any spacing."""
    q = np.array([draw(st.floats(0.01, 1)), *(draw(st.floats(-1, 1)) for _ in range(3))])
    w, x, y, z = q / np.linalg.norm(q)
    affine = np.eye(4)
    affine[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    affine[:3, :3] *= [draw(st.floats(0.3, 8)) for _ in range(3)]
    return affine


@settings(max_examples=60, deadline=None)
@given(affines(), st.sampled_from([*CODES, "native"]), SIZES)
def test_any_orientation_there_and_back(affine: np.ndarray, towards: str, shape: tuple[int, int, int]) -> None:
    orientation = orientation_of(affine, towards)
    voxels = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    grid = orientation.to_grid(voxels)
    np.testing.assert_array_equal(orientation.to_native(grid), voxels)
    assert grid.shape == tuple(shape[axis] for axis in orientation.axes)
    assert 0 <= orientation.tilt_degrees < 90


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CODES), st.permutations(range(3)), st.tuples(*[st.sampled_from([-1, 1])] * 3))
def test_the_grid_runs_where_its_letters_say(towards: str, order: list[int], signs: tuple[int, int, int]) -> None:
    affine = np.eye(4)
    affine[:3, :3] = 0
    for native, (patient, sign) in enumerate(zip(order, signs, strict=True)):
        affine[patient, native] = sign * 2.0
    orientation = orientation_of(affine, towards)
    ends = {"R": (0, -1), "L": (0, 1), "A": (1, -1), "P": (1, 1), "I": (2, -1), "S": (2, 1)}
    coordinates = np.stack(np.meshgrid(*[np.arange(3.0)] * 3, indexing="ij"), axis=-1) @ affine[:3, :3].T
    for axis, letter in enumerate(towards):
        patient, sign = ends[letter]
        along = np.diff(orientation.to_grid(coordinates[..., patient]), axis=axis) * sign
        assert (along > 0).all()


@settings(max_examples=60, deadline=None)
@given(st.data(), SIZES, SIZES)
def test_slice_by_slice_equals_the_whole_to_the_last_bit(
    data: st.DataObject, native: tuple[int, int, int], shape: tuple[int, int, int]
) -> None:
    voxels = data.draw(volumes(native))
    for interpolation in ("linear", "nearest"):
        *steps, made = resample_slices(iter(voxels), native, shape, interpolation=interpolation)  # type: ignore[arg-type] # a literal
        assert steps == [None] * native[0]
        assert made is not None
        np.testing.assert_array_equal(made, resample(voxels, shape, interpolation))  # type: ignore[arg-type] # as above


@settings(max_examples=60, deadline=None)
@given(st.data(), SIZES, st.integers(2, 4))
def test_a_finer_grid_and_back_keeps_smooth_values_and_stays_in_range(
    data: st.DataObject, native: tuple[int, int, int], factor: int
) -> None:
    voxels = data.draw(volumes(native))
    finer = resample(voxels, (native[0] * factor, native[1] * factor, native[2] * factor))
    assert finer.min() >= voxels.min() - 1e-3
    assert finer.max() <= voxels.max() + 1e-3
    ramp = np.add.outer(np.add.outer(np.arange(native[0]), np.arange(native[1])), np.arange(native[2]))
    there = resample(ramp.astype(np.float32), finer.shape)
    inner = tuple(slice(1, -1) for _ in native)
    np.testing.assert_allclose(resample(there, native)[inner], ramp[inner], atol=1e-3)
    nearest = resample(resample(voxels, finer.shape, "nearest"), native, "nearest")
    np.testing.assert_array_equal(nearest, voxels)


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES, st.floats(0, 0.9), st.sampled_from(["constant", "gaussian"]))
def test_tiles_cover_every_voxel_and_agree(
    native: tuple[int, int, int], window: tuple[int, int, int], overlap: float, weighting: str
) -> None:
    tiles = Tiles(overlap=overlap, weighting=weighting)  # type: ignore[arg-type] # a literal
    wanted = policy(resampling="none", tiles=tiles)
    placement = placed(wanted, native, (1, 1, 1), window)
    values = np.random.default_rng(0).random((*native, 1), np.float32)
    stitcher, made = Stitcher(placement, tiles), None
    for start in placement.starts:
        inside, at = placement.inside(start)
        answer = np.zeros((*window, 1), np.float32)
        answer[at] = values[inside]
        made = stitcher.add(start, answer, "out")
    assert made is not None
    np.testing.assert_allclose(made, values, rtol=1e-5, atol=1e-6)
    assert all((along > 0).all() for along in weights(placement, tiles))


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES)
def test_without_tiles_it_fits_or_is_refused(native: tuple[int, int, int], window: tuple[int, int, int]) -> None:
    wanted = policy(resampling="none", tiles=None)
    larger = any(size > length for size, length in zip(native, window, strict=True))
    try:
        placement = placed(wanted, native, (1, 1, 1), window)
    except InvalidInput:
        assert larger
        return
    assert not larger
    inside, at = placement.inside(placement.starts[0])
    assert all(part == slice(0, size) for part, size in zip(inside, native, strict=True))
    assert all(part.stop - part.start == size for part, size in zip(at, native, strict=True))


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 12), st.just(2), st.just(2)), elements=st.integers(0, 20)),
    st.floats(0.05, 0.95),
)
def test_boxes_that_are_kept_overlap_no_better_one(corners: np.ndarray, limit: float) -> None:
    boxes = np.sort(corners, axis=1)
    scores = np.linspace(1, 0, len(boxes))[::-1].copy()
    kept = suppressed(boxes, scores, limit)
    assert kept[0] == len(boxes) - 1
    for place, index in enumerate(kept):
        assert (overlaps(boxes[index], boxes[kept[:place]]) <= limit).all()
    for index in set(range(len(boxes))) - set(kept):
        better = [other for other in kept if scores[other] >= scores[index]]
        assert (overlaps(boxes[index], boxes[better]) > limit).any()
