from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from consumers.dicom.outline import MOST_POINTS, Points, outlines


def drawn(text: str) -> np.ndarray:
    return np.array([[sign == "#" for sign in line] for line in text.split()])


def area(line: Points) -> float:
    after = np.roll(line, -1, axis=0)
    return abs(float(np.sum(line[:, 0] * after[:, 1] - after[:, 0] * line[:, 1]))) / 2


def test_a_pixel_is_outlined_by_its_four_corners() -> None:
    (line,) = outlines(drawn("... ..# ..."))
    assert line.tolist() == [[2, 1], [3, 1], [3, 2], [2, 2]]


def test_straight_sides_have_no_points_between() -> None:
    (line,) = outlines(np.ones((40, 30), dtype=bool))
    assert sorted(line.tolist()) == [[0, 0], [0, 40], [30, 0], [30, 40]]


def test_pixels_that_touch_at_a_corner_are_two_regions() -> None:
    assert len(outlines(drawn("#. .#"))) == 2


def test_the_largest_region_comes_first_and_holes_only_when_asked_for() -> None:
    mask = drawn("#.....## ..####.. ..#..#.. ..####..")
    assert [area(line) for line in outlines(mask)] == [12, 2, 1]
    assert [area(line) for line in outlines(mask, holes=True)] == [12, 2, 1, 2]


def test_nothing_is_outlined_where_nothing_is() -> None:
    assert outlines(np.zeros((5, 5), dtype=bool)) == []
    assert outlines(np.zeros((0, 0), dtype=bool)) == []


def test_a_line_with_more_corners_than_dicom_can_write_is_thinned() -> None:
    comb = np.zeros((4, 9000), dtype=bool)
    comb[1] = True
    comb[2, ::2] = True
    (line,) = outlines(comb)
    assert MOST_POINTS // 2 < len(line) <= MOST_POINTS


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_the_lines_enclose_exactly_the_mask(rows: int, columns: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((rows, columns)) > 0.4
    around = outlines(mask, holes=True)
    regions = len(outlines(mask))
    assert (
        sum(area(line) for line in around[:regions]) - sum(area(line) for line in around[regions:]) == mask.sum()
    )
    picture = Image.new("1", (columns * 4, rows * 4))
    for number, line in enumerate(around):
        inner = line * 4
        ImageDraw.Draw(picture).polygon([(x, y) for x, y in inner.tolist()], fill=int(number < regions))
    centres = np.asarray(picture)[2::4, 2::4]
    if len(around) == regions:
        assert np.array_equal(centres, mask)


@pytest.mark.parametrize("size", [512])
def test_a_noisy_mask_is_outlined_in_bounded_time(size: int) -> None:
    mask = np.random.default_rng(1).random((size, size)) > 0.5
    assert len(outlines(mask)) > 1000
