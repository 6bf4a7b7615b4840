from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from engines.resample import orientation_of, resample, slices_at_least


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).random(shape, np.float32)


@pytest.mark.parametrize("shape", [(5, 7, 9), (20, 14, 18), (3, 30, 4), (10, 7, 9)])
def test_equals_linear_zoom_over_the_field_of_view(shape: tuple[int, int, int]) -> None:
    volume = noise(10, 14, 9)
    factors = [new / old for new, old in zip(shape, volume.shape, strict=True)]
    expected = ndimage.zoom(volume, factors, order=1, grid_mode=True, mode="nearest")
    np.testing.assert_allclose(resample(volume, shape), expected, atol=1e-6)


def test_own_size_changes_nothing() -> None:
    volume = noise(6, 5, 4)
    np.testing.assert_array_equal(resample(volume, volume.shape), volume)


@pytest.mark.parametrize("shape", [(20, 64, 48), (40, 30, 20), (8, 32, 32)])
def test_threshold_by_slice_equals_threshold_of_the_whole(shape: tuple[int, int, int]) -> None:
    volume = noise(16, 32, 32) ** 8
    planes = np.stack(list(slices_at_least(volume, shape, 0.5)))
    whole = resample(volume, shape)
    differs = planes != (whole >= 0.5)
    assert not (differs & (np.abs(whole - 0.5) > 1e-6)).any()
    assert planes.any()


def test_orientation_there_and_back() -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 2.0], [0, 3, 0], [1, 0, 0]])  # slices to S, rows to P, columns to L
    orientation = orientation_of(affine)
    assert orientation.axes == (2, 1, 0)
    assert orientation.flipped == (True, True, False)
    assert orientation.tilt_degrees == pytest.approx(0)
    volume = noise(2, 3, 4)
    ras = orientation.to_grid(volume)
    assert ras.shape == (4, 3, 2)
    assert ras[0, 0, 0] == volume[0, 2, 3]  # most left is last column: x starts at the patient's left
    np.testing.assert_array_equal(orientation.to_native(ras), volume)


def test_tilt_is_the_angle_to_the_patient_axis() -> None:
    angle = np.radians(20)
    affine = np.eye(4)
    affine[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert orientation_of(affine).tilt_degrees == pytest.approx(20)
