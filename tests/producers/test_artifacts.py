"""A volume comes back as it was, or not at all."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.artifacts import (
    pack_heatmap,
    pack_mask,
    pack_probability,
    unpack_heatmap,
    unpack_mask,
    unpack_probability,
)
from schemas.errors import InvalidMessage, TransientFailure

shapes = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))
seeds = st.integers(0, 2**32 - 1)

UNPACK = [unpack_mask, unpack_probability, unpack_heatmap]


@given(shapes, seeds)
def test_a_mask_comes_back(shape: tuple[int, int, int], seed: int) -> None:
    mask = np.random.default_rng(seed).random(shape) < 0.3
    unpacked = unpack_mask(pack_mask(mask), shape)
    assert unpacked.dtype == np.bool_
    assert np.array_equal(unpacked, mask)


@given(shapes, seeds)
def test_a_probability_comes_back_within_half_a_step(shape: tuple[int, int, int], seed: int) -> None:
    volume = np.random.default_rng(seed).random(shape, dtype=np.float32)
    unpacked = unpack_probability(pack_probability(volume), shape)
    assert unpacked.dtype == np.float32
    assert np.abs(unpacked - volume).max() <= 0.5 / 255 + 1e-6
    assert pack_probability(unpacked) == pack_probability(volume)


def test_certainty_and_impossibility_lose_nothing() -> None:
    volume = np.array([[[0.0, 1.0]]], dtype=np.float32)
    assert unpack_probability(pack_probability(volume), (1, 1, 2)).tolist() == [[[0.0, 1.0]]]


@given(shapes, seeds)
def test_a_heatmap_comes_back_bit_by_bit(shape: tuple[int, int, int], seed: int) -> None:
    volume = np.random.default_rng(seed).normal(0, 1e6, shape).astype(np.float32)
    unpacked = unpack_heatmap(pack_heatmap(volume), shape)
    assert unpacked.dtype == np.float32
    assert np.array_equal(unpacked, volume)


@pytest.mark.parametrize("unpack", UNPACK)
@pytest.mark.parametrize("shape", [(2**31 - 1,) * 3, (2**31 - 1, 2**31 - 1, 1), (2**12, 2**12, 2**12)])
def test_a_shape_that_no_series_has_is_refused_before_anything_is_inflated(
    unpack: Callable[..., Any], shape: tuple[int, ...]
) -> None:
    with pytest.raises(InvalidMessage, match="run the model again"):
        unpack(zlib.compress(b""), shape)


def test_same_mask_same_bytes_and_small() -> None:
    mask = np.zeros((20, 256, 256), dtype=np.bool_)
    mask[5:15, 100:150, 90:160] = True
    assert pack_mask(mask) == pack_mask(mask.copy())
    assert pack_mask(np.asfortranarray(mask)) == pack_mask(mask)
    assert len(pack_mask(mask)) < 4_000


def test_same_heatmap_same_bytes_whatever_its_memory_order() -> None:
    volume = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert pack_heatmap(np.asfortranarray(volume)) == pack_heatmap(volume)
    part = volume / np.float32(24)
    assert pack_probability(np.asfortranarray(part)) == pack_probability(part)


@pytest.mark.parametrize("wrong", [np.zeros((2, 2), dtype=np.bool_), np.zeros((1, 2, 2), dtype=np.uint8)])
def test_only_boolean_volumes_are_masks(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="boolean array"):
        pack_mask(wrong)


@pytest.mark.parametrize("wrong", [-0.001, 1.001, np.nan, np.inf])
def test_only_numbers_between_0_and_1_are_probabilities(wrong: float) -> None:
    with pytest.raises(ValueError, match=r"numbers in 0…1"):
        pack_probability(np.full((1, 2, 2), wrong, dtype=np.float32))
    with pytest.raises(ValueError, match=r"slices, rows, columns"):
        pack_probability(np.zeros((2, 2), dtype=np.float32))


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 2), dtype=np.float32),
        np.zeros((1, 2, 2)),
        np.full((1, 2, 2), np.nan, dtype=np.float32),
        np.full((1, 2, 2), -np.inf, dtype=np.float32),
    ],
)
def test_only_finite_volumes_are_heatmaps(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite 32-bit floats"):
        pack_heatmap(wrong)


def test_a_heatmap_from_elsewhere_with_numbers_that_are_none_is_refused() -> None:
    data = zlib.compress(np.array([1.0, np.nan], dtype="<f4").tobytes())
    with pytest.raises(InvalidMessage, match="run the model again"):
        unpack_heatmap(data, (1, 1, 2))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not deflated",
        zlib.compress(b"\0" * 3),
        zlib.compress(b"\0" * 5),
        pack_mask(np.ones((1, 4, 8), bool))[:-1],
    ],
)
@pytest.mark.parametrize("unpack", UNPACK)
def test_bytes_that_are_not_this_volume(data: bytes, unpack: Callable[..., Any]) -> None:
    with pytest.raises(TransientFailure, match="fetch the artifact again"):
        unpack(data, (1, 4, 8))


@pytest.mark.parametrize("unpack", UNPACK)
def test_a_bomb_is_not_inflated_beyond_the_shape(unpack: Callable[..., Any]) -> None:
    with pytest.raises(TransientFailure, match="fetch the artifact again"):
        unpack(zlib.compress(b"\0" * 50_000_000), (1, 4, 8))


@pytest.mark.parametrize("shape", [(), (4,), (4, 8), (1, 2, 4, 4), (-1, -4, 8)])
@pytest.mark.parametrize("unpack", UNPACK)
def test_a_shape_that_is_not_a_volume_is_refused(shape: tuple[int, ...], unpack: Callable[..., Any]) -> None:
    with pytest.raises(InvalidMessage, match="run the model again"):
        unpack(zlib.compress(b"\0" * 4), shape)
