"""The grayscale pipeline against the formulas of PS3.3 C.7.6.3, C.11.1 and C.11.2."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from producers.dicomweb.grayscale import display_values, windowed
from producers.dicomweb.render_request import Window


def header(**attributes: Any) -> Dataset:
    data_set = Dataset()
    data_set.PhotometricInterpretation = "MONOCHROME2"
    for keyword, value in attributes.items():
        setattr(data_set, keyword, value)
    return data_set


def shown(values: list[Any], data_set: Dataset, window: Window | None = None, frame: int = 1) -> list[int]:
    dtype = np.float32 if any(isinstance(value, float) for value in values) else np.int16
    pixels: NDArray[Any] = np.array([values], dtype=dtype)
    return [int(value) for value in display_values(pixels, data_set, frame, window)[0]]


def test_without_window_the_whole_range_is_shown() -> None:
    assert shown([-100, 0, 100], header()) == [0, 128, 255]
    assert shown([5, 5], header()) == [0, 0]


def test_monochrome_1_is_inverted() -> None:
    assert shown([-100, 0, 100], header(PhotometricInterpretation="MONOCHROME1")) == [255, 128, 0]


def test_padding_does_not_stretch_the_range() -> None:
    data_set = header(PixelRepresentation=1)
    data_set.add_new("PixelPaddingValue", "SS", -2000)
    assert shown([-2000, 0, 100], data_set) == [0, 0, 255]


def test_first_window_of_the_data_set_after_rescale() -> None:
    data_set = header(RescaleSlope=2, RescaleIntercept=-1024, WindowCenter=[50, 500], WindowWidth=[101, 2000])
    # 2 x - 1024: 512 → 0, 537 → 50, 562 → 100; linear from c - 0.5 - (w - 1) / 2 = -0.5 to 99.5
    assert shown([512, 537, 562], data_set) == [1, 129, 255]


def test_the_window_that_is_asked_for_goes_first() -> None:
    data_set = header(WindowCenter=50, WindowWidth=100)
    assert shown([0, 500, 1000], data_set, Window(500, 1000, "linear-exact")) == [0, 128, 255]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("linear", [0.0, 0.0, 2047.5 / 4095, 1.0]),
        ("linear-exact", [0.0, 0.0, 0.5 - 0.0, 1.0]),
        ("sigmoid", [0.119203, 0.119203 / 1.0, 0.5, 0.880797]),
    ],
)
def test_window_functions(shape: Any, expected: list[float]) -> None:
    values = np.array([0.0, 0.0, 2048.0, 4096.0])
    found = windowed(values, Window(2048, 4096, shape))
    assert np.allclose(found, expected, atol=2e-4)


def test_a_window_of_width_1_is_a_threshold() -> None:
    assert shown([9, 10, 11], header(), Window(10, 1)) == [0, 255, 255]


def test_voi_lut_and_modality_lut() -> None:
    item = Dataset()
    item.LUTDescriptor = [3, 10, 8]
    item.add_new("LUTData", "US", [255, 0, 128])
    assert shown([9, 10, 11, 12, 99], header(VOILUTSequence=[item])) == [255, 255, 0, 128, 128]
    assert shown([10, 11, 12], header(ModalityLUTSequence=[item]), Window(128, 256, "linear-exact")) == [
        254,
        0,
        128,
    ]


def test_functional_groups_of_the_frame_go_before_the_shared_ones() -> None:
    def group(center: float, width: float) -> Dataset:
        voi, item = Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth, voi.VOILUTFunction = center, width, "LINEAR_EXACT"
        item.FrameVOILUTSequence = [voi]
        return item

    data_set = header(
        PerFrameFunctionalGroupsSequence=[group(50, 100), Dataset()],
        SharedFunctionalGroupsSequence=[group(500, 1000)],
        WindowCenter=5,
        WindowWidth=10,
    )
    assert shown([0, 100, 1000], data_set, frame=1) == [0, 255, 255]
    assert shown([0, 200, 1000], data_set, frame=2) == [0, 51, 255]


@pytest.mark.parametrize(
    "wrong", [{"WindowWidth": 0}, {"WindowWidth": -5}, {"RescaleSlope": 0}, {"VOILUTFunction": "NONSENSE"}]
)
def test_what_the_data_set_says_wrongly_is_passed_over(wrong: dict[str, Any]) -> None:
    assert shown([0, 50, 100], header(**({"WindowCenter": 50, "WindowWidth": 101} | wrong)))[2] == 255


def test_floats_and_what_is_no_number() -> None:
    assert shown([0.0, 0.5, 1.0, float("nan"), float("inf")], header()) == [0, 128, 255, 0, 0]


def test_large_integers_are_not_tabulated() -> None:
    pixels = np.array([[0, 2**31, 2**32 - 1]], dtype=np.uint32)
    assert display_values(pixels, header(), 1, None).tolist() == [[0, 128, 255]]
