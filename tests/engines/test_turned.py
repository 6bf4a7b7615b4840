"""Values that were turned are those of numpy, however they lie."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from engines.turned import contiguous


@pytest.mark.parametrize("shape", [(70, 65, 130), (64, 72, 128), (1, 600, 900), (3, 5, 7), (33, 41, 17, 19)])
def test_every_turn_and_mirror_keeps_the_values(shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    for axes in permutations(range(len(shape))):
        for ends in product((1, -1), repeat=2):
            view = values.transpose(axes)[tuple(slice(None, None, end) for end in ends)]
            turned = contiguous(view)
            assert turned.flags.c_contiguous
            assert turned.dtype == np.float32
            np.testing.assert_array_equal(turned, view)


def test_one_channel_of_many_is_taken_out() -> None:
    values = np.random.default_rng(1).normal(size=(80, 90, 100, 2)).astype(np.float32)
    for view in (values[..., 1], values[..., 0].transpose(2, 1, 0)):
        np.testing.assert_array_equal(contiguous(view), view)


def test_what_has_no_gaps_is_not_copied() -> None:
    values = np.zeros((100, 100, 100), np.float32)
    assert contiguous(values) is values
