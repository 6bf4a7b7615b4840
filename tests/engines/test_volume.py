from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import JPEGLSLossless

from engines.pixels import modality_values
from engines.volume import Volume, read_volume
from schemas.errors import InvalidInput
from tests.engines.phantom import policy, series


def voxels(volume: Volume) -> NDArray[np.float32]:
    return np.stack([modality_values(frame) for frame in volume.frames])


PLANES = np.arange(5 * 4 * 3).reshape(5, 4, 3)


def test_sorted_along_the_normal_whatever_the_order_of_the_files() -> None:
    images = series(PLANES, spacing_mm=(7, 2, 0.5), origin=(1, 2, 3))
    shuffled = [images[index] for index in (3, 0, 4, 1, 2)]
    for number, image in enumerate(shuffled):
        image.InstanceNumber = number
    volume = read_volume(shuffled, policy())
    np.testing.assert_array_equal(voxels(volume), PLANES)
    assert volume.sop_instance_uids == tuple(image.SOPInstanceUID for image in images)
    assert volume.spacing_mm == pytest.approx((7, 2, 0.5))
    assert volume.voxel_ml == pytest.approx(0.007)
    assert volume.warnings == ()
    # slice 1, row 2, column 1 → x by a column, y by rows, z by a slice
    assert volume.affine @ [1, 2, 1, 1] == pytest.approx([1.5, 6, 10, 1])


def test_modality_units_and_padding() -> None:
    images = series(PLANES)
    for image in images:
        image.RescaleSlope, image.RescaleIntercept = "0.5", "-3"
        image.PixelPaddingValue = 5
    volume = read_volume(images, policy())
    assert voxels(volume)[0, 0, 0] == -3
    assert voxels(volume)[0, 1, 2] == 0
    assert voxels(volume)[4, 3, 2] == 26.5


def test_modality_lut_sequence() -> None:
    images = series(np.ones((3, 2, 2)))
    for image in images:
        image.PixelRepresentation = 0
        lut = Dataset()
        lut.LUTDescriptor, lut.LUTData, lut.ModalityLUTType = [2, 0, 16], [7, 9], "US"
        image.ModalityLUTSequence = [lut]
    assert (voxels(read_volume(images, policy())) == 9).all()


def test_rounded_positions_are_no_gap() -> None:
    images = series(PLANES, spacing_mm=(0.7, 1, 1))
    for image in images:
        image.ImagePositionPatient = [round(float(value), 2) for value in image.ImagePositionPatient]
    assert read_volume(images, policy()).warnings == ()


def test_uneven_spacing_is_said_and_a_missing_slice_is_refused() -> None:
    images = series(PLANES, spacing_mm=(5, 1, 1))
    images[2].ImagePositionPatient[2] += 1
    assert "unevenly" in read_volume(images, policy()).warnings[0]
    images = series(PLANES, spacing_mm=(5, 1, 1))
    with pytest.raises(InvalidInput, match=r"5\.00 mm apart but 10\.00 mm between"):
        read_volume(images[:2] + images[3:], policy())


def test_gantry_tilt_keeps_the_true_volume() -> None:
    images = series(PLANES, spacing_mm=(2, 1, 1))
    for index, image in enumerate(images):
        image.ImagePositionPatient[1] += 0.5 * index
    volume = read_volume(images, policy())
    assert volume.voxel_ml == pytest.approx(0.002)
    assert "sheared by 14 degrees" in volume.warnings[0]


def attribute(keyword: str, value: Any) -> Callable[[list[Dataset]], None]:
    def change(images: list[Dataset]) -> None:
        setattr(images[2], keyword, value)

    return change


def without(keyword: str) -> Callable[[list[Dataset]], None]:
    def change(images: list[Dataset]) -> None:
        for image in images:
            delattr(image, keyword)

    return change


def undecodable(images: list[Dataset]) -> None:
    images[2].file_meta.TransferSyntaxUID = JPEGLSLossless


def nan_pixels(images: list[Dataset]) -> None:
    image = images[2]
    del image.PixelData
    image.BitsAllocated = 32
    image.FloatPixelData = np.full(12, np.nan, "<f4").tobytes()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda images: images.__delitem__(slice(2, None)), "has 2 images and the model needs at least 3"),
        (attribute("SamplesPerPixel", 3), "in colour"),
        (attribute("NumberOfFrames", 4), "frame 1 of image .* at the same place"),
        (attribute("Rows", 6), "6 × 3 pixels"),
        (attribute("ImageOrientationPatient", [1, 0, 0, 0, 0, 1]), "parallel slices"),
        (attribute("PixelSpacing", [1, 2]), "PixelSpacing"),
        (attribute("SeriesInstanceUID", "1.2.3"), "another series"),
        (attribute("ImagePositionPatient", [-50, -60, -69]), "same place"),
        (attribute("ImagePositionPatient", None), "no ImagePositionPatient"),
        (attribute("ImagePositionPatient", [1, 2]), "no usable ImagePositionPatient"),
        (without("PixelSpacing"), "no usable PixelSpacing"),
        (without("ImageOrientationPatient"), "no ImageOrientationPatient"),
        (without("PixelData"), "no pixel data"),
        (attribute("PixelData", b"\0\0"), "cannot be decoded"),
        (attribute("FloatPixelData", b"\0\0"), "cannot be decoded"),
        (undecodable, "cannot be decoded"),
        (nan_pixels, "no finite numbers"),
        (attribute("RescaleSlope", "1e39"), "no finite numbers"),
    ],
)
def test_what_is_no_volume_is_refused_with_the_reason(
    change: Callable[[list[Dataset]], None], reason: str
) -> None:
    images = series(PLANES)
    if reason == "no finite numbers" and change is not nan_pixels:
        for image in images:
            image.RescaleIntercept = 0
    change(images)
    with pytest.raises(InvalidInput, match=reason):
        voxels(read_volume(images, policy()))


@pytest.mark.parametrize(
    ("keyword", "value", "reason"),
    [
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], "perpendicular"),
        ("ImageOrientationPatient", [0, 0, 0, 0, 1, 0], "perpendicular"),
        ("PixelSpacing", [0, 1], "not positive"),
    ],
)
def test_impossible_geometry_is_refused(keyword: str, value: list[float], reason: str) -> None:
    images = series(PLANES)
    for image in images:
        setattr(image, keyword, value)
    with pytest.raises(InvalidInput, match=reason):
        read_volume(images, policy())
