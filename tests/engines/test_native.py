"""Uncompressed grey frames read here and by pydicom: the same values, or left to pydicom."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from engines.frames import Frame
from engines.native import native_values
from engines.pixels import modality_values


@st.composite
def images(draw: st.DrawFn) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = draw(st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian]))
    image.SOPInstanceUID = "1.2.3"
    image.Rows, image.Columns = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    image.SamplesPerPixel, image.PhotometricInterpretation = (
        1,
        draw(st.sampled_from(["MONOCHROME1", "MONOCHROME2"])),
    )
    image.BitsAllocated = draw(st.sampled_from([8, 16]))
    image.BitsStored = draw(st.integers(1, image.BitsAllocated))
    image.HighBit, image.PixelRepresentation = image.BitsStored - 1, draw(st.integers(0, 1))
    frames = draw(st.none() | st.integers(1, 3))
    if frames is not None:
        image.NumberOfFrames = frames
    size = image.Rows * image.Columns * image.BitsAllocated // 8 * (frames or 1)
    image.PixelData = draw(st.binary(min_size=size, max_size=size)) + b"\0" * (size % 2)
    if draw(st.booleans()):
        image.RescaleSlope = draw(st.sampled_from(["1", "1.0", "2", "0.5"]))
        image.RescaleIntercept = draw(st.sampled_from(["0", "-1024", "0.25", "-9000000", "33554432"]))
    return image


@given(images())
def test_as_pydicom_reads_it(image: Dataset) -> None:
    frames = [None] if "NumberOfFrames" not in image else list(range(image.NumberOfFrames))
    for index in frames:
        values = native_values(Frame(image, index))
        assert values is not None
        expected = pixel_array(image, index=index)
        np.testing.assert_array_equal(values, expected)
        assert values.dtype == expected.dtype
        if index is None:
            rescaled = apply_modality_lut(expected, image).astype(np.float32)
            np.testing.assert_array_equal(modality_values(Frame(image)), rescaled)


def ordinary() -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.Rows = image.Columns = 2
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, 0
    image.PixelData = bytes(8)
    return image


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("BitsAllocated", 32),
        ("BitsAllocated", None),
        ("BitsStored", 17),
        ("BitsStored", [8, 8]),
        ("PixelRepresentation", [0, 1]),
        ("PixelRepresentation", None),
        ("SamplesPerPixel", 3),
        ("PhotometricInterpretation", "RGB"),
        ("PhotometricInterpretation", ["MONOCHROME2", "RGB"]),
        ("NumberOfFrames", 2),
        ("PixelData", bytes(7)),
        ("PixelData", bytes(10)),
        ("FloatPixelData", bytes(16)),
    ],
)
def test_what_is_not_ordinary_is_left_to_pydicom(keyword: str, value: Any) -> None:
    image = ordinary()
    assert native_values(Frame(image)) is not None
    setattr(image, keyword, value)
    assert native_values(Frame(image)) is None


def test_other_byte_orders_and_no_syntax_are_left_to_pydicom() -> None:
    image = ordinary()
    image.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    assert native_values(Frame(image)) is None
    del image.file_meta
    assert native_values(Frame(image)) is None
