"""A mask comes back as it was, or not at all."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.artifacts import pack_mask, unpack_mask
from schemas.errors import TransientFailure


@given(st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)), st.integers(0, 2**32 - 1))
def test_round_trip(shape: tuple[int, int, int], seed: int) -> None:
    mask = np.random.default_rng(seed).random(shape) < 0.3
    unpacked = unpack_mask(pack_mask(mask), shape)
    assert unpacked.dtype == np.bool_
    assert np.array_equal(unpacked, mask)


def test_same_mask_same_bytes_and_small() -> None:
    mask = np.zeros((20, 256, 256), dtype=np.bool_)
    mask[5:15, 100:150, 90:160] = True
    assert pack_mask(mask) == pack_mask(mask.copy())
    assert pack_mask(np.asfortranarray(mask)) == pack_mask(mask)
    assert len(pack_mask(mask)) < 4_000


@pytest.mark.parametrize("wrong", [np.zeros((2, 2), dtype=np.bool_), np.zeros((1, 2, 2), dtype=np.uint8)])
def test_only_boolean_volumes_are_masks(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="boolean array"):
        pack_mask(wrong)


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
def test_bytes_that_are_not_this_mask(data: bytes) -> None:
    with pytest.raises(TransientFailure, match="fetch the artifact again"):
        unpack_mask(data, (1, 4, 8))
