from __future__ import annotations

import numpy as np
import pytest
from pydicom import Dataset

from consumers.dicom.pictures import CannotShow, picture, value_range
from tests.consumers.dicom.sources import COLUMNS, ROWS, SOURCES, UNDECODABLE, gray, ramp


@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"colour", "inverted", "frames"}))
def test_every_sort_of_gray_image_is_seen_dark_on_the_left_and_bright_on_the_right(name: str) -> None:
    seen = picture(SOURCES[name](), 1)
    assert seen.shape == (ROWS, COLUMNS, 3)
    assert seen.dtype == np.uint8
    assert np.abs(seen[50, :, 0].astype(int) - np.linspace(0, 255, COLUMNS)).max() < 8


def test_monochrome1_is_inverted() -> None:
    assert np.abs(picture(SOURCES["inverted"](), 1).astype(int) + picture(gray(), 1) - 255).max() <= 1


def test_colours_stay() -> None:
    seen = picture(SOURCES["colour"](), 1)
    assert np.array_equal(seen[0, :, 0], ramp()[0])
    assert np.array_equal(seen[0, :, 2], 254 - ramp()[0])


def test_the_frame_that_is_asked_for_is_seen() -> None:
    source = SOURCES["frames"]()
    assert picture(source, 2)[0, -1, 0] > 250
    assert picture(source, 3)[0, 0, 0] > 250
    assert picture(source, 1).max() == 0


@pytest.mark.parametrize("name", sorted(UNDECODABLE))
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_decoded_is_said_to_be_so(name: str) -> None:
    with pytest.raises(CannotShow):
        picture(UNDECODABLE[name](), 1)
    with pytest.raises(CannotShow):
        value_range(UNDECODABLE[name](), 1)


def test_an_image_too_large_to_draw_is_not_decoded() -> None:
    source = gray()
    source.Rows, source.Columns = 20_000, 20_000
    with pytest.raises(CannotShow, match=r"cannot be decoded"):
        picture(source, 1)


def test_no_image_is_no_picture() -> None:
    with pytest.raises(CannotShow):
        picture(Dataset(), 1)


def test_the_range_is_of_rescaled_values() -> None:
    assert value_range(SOURCES["signed, rescaled"](), 1) == (-412.0, 604.0)
