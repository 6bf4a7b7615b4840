"""Images and answers that are not what a model needs: refused with where and why, or handled and said."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.pixels import get_decoder
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLSLossless,
    RLELossless,
)

from engines.frames import Frame
from engines.model import Model
from engines.pixels import modality_values
from engines.volume import read_volume
from schemas.errors import InvalidInput
from schemas.events import ResultOutcome, TaskParameters
from tests.engines.phantom import policy, series
from tests.engines.stub import answer, one_segment, stub

VOXELS = np.arange(6 * 5 * 4).reshape(6, 5, 4)


def through(function: Callable[[NDArray[np.float32]], Any] = lambda tensor: {"out": tensor > 30}) -> Model:
    """Segmentation of whatever is above 30, at the size of the images."""
    model, _ = stub(
        "segmentation",
        {"layout": "NCZYX", "minimum_slices": 3},
        {"threshold": 0.5, "segments": [one_segment()]},
        (1, 1, -1, -1, -1),
        {"out": (1, 1, -1, -1, -1)},
        lambda tensor: {key: np.asarray(value, np.float32) for key, value in function(tensor).items()},
    )
    return model


def enhanced(images: list[Dataset], order: list[int]) -> Dataset:
    """One multi-frame image of single-frame ones, its frames in any order."""
    first = copy.deepcopy(images[0])
    first.SOPClassUID = EnhancedMRImageStorage
    first.NumberOfFrames = len(images)
    shared, groups = Dataset(), []
    orientation, measures, values = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = first.ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = first.PixelSpacing, 1
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 2, -10, "US"
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    shared.PixelValueTransformationSequence = [values]
    for index in order:
        group, place = Dataset(), Dataset()
        place.ImagePositionPatient = images[index].ImagePositionPatient
        group.PlanePositionSequence = [place]
        groups.append(group)
    first.SharedFunctionalGroupsSequence, first.PerFrameFunctionalGroupsSequence = [shared], groups
    first.PixelData = b"".join(images[index].PixelData for index in order)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(first, keyword)
    return first


def test_an_enhanced_multi_frame_image_is_a_volume_and_its_mask_is_in_the_order_of_its_frames() -> None:
    order = [3, 0, 5, 1, 4, 2]
    image = enhanced(series(VOXELS), order)
    volume = read_volume([image], policy())
    np.testing.assert_array_equal(np.stack([modality_values(frame) for frame in volume.frames]), VOXELS * 2.0 - 10)
    outcome = answer([image], through())
    (mask,) = outcome.arrays
    np.testing.assert_array_equal(mask.array, (VOXELS * 2 - 10 > 30)[order])
    assert outcome.sop_instance_uids == (image.SOPInstanceUID,)


def test_a_multi_frame_image_without_places_is_refused() -> None:
    image = enhanced(series(VOXELS), list(range(6)))
    del image.PerFrameFunctionalGroupsSequence
    with pytest.raises(InvalidInput, match=r"frame 1 of image 2\.25\.\d+ has no ImagePositionPatient"):
        answer([image], through())


def test_two_acquisitions_at_the_same_places_are_refused_and_named() -> None:
    one, other = series(VOXELS, name="one"), series(VOXELS, name="other")
    for number, images in enumerate((one, other), start=1):
        for image in images:
            image.AcquisitionNumber, image.SeriesInstanceUID = number, "1.2.3"
    with pytest.raises(InvalidInput, match=r"at the same place; the series holds 2 acquisitions .*1, 2"):
        answer(one + other, through())
    # one after the other along the body they are one volume
    following = series(VOXELS, name="other", origin=(-50, -60, -64))
    for image in following:
        image.AcquisitionNumber, image.SeriesInstanceUID = 2, "1.2.3"
    assert answer(one + following, through()).arrays[0].array.shape == (12, 5, 4)


def test_localizers_are_left_out_and_said_and_alone_they_are_refused() -> None:
    images = series(VOXELS)
    scout = series(VOXELS[:1], row=(0, 1, 0), column=(0, 0, -1), name="scout")[0]
    scout.SeriesInstanceUID = images[0].SeriesInstanceUID
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    outcome = answer([scout, *images], through())
    assert outcome.image_quality_warnings == ("1 localizer images of the series were left out.",)
    assert scout.SOPInstanceUID not in outcome.sop_instance_uids
    with pytest.raises(InvalidInput, match="only localizer images"):
        answer([scout], through())


def tilted(images: list[Dataset], share: float) -> None:
    for index, image in enumerate(images):
        image.ImagePositionPatient[1] += share * index


def test_gantry_tilt_is_handled_and_said_up_to_a_limit() -> None:
    images = series(VOXELS)
    tilted(images, 0.4)
    outcome = answer(images, through())
    assert outcome.image_quality_warnings == ("Slices are sheared by 22 degrees (gantry tilt).",)
    assert outcome.found[0].measurements[0].value == (VOXELS > 30).sum() / 1000
    images = series(VOXELS)
    tilted(images, 0.8)
    with pytest.raises(InvalidInput, match=r"sheared by 39 degrees .* takes at most 30"):
        answer(images, through())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda images: images.__delitem__(3), "6.00 mm between|2.00 mm between .*: send the missing slices"),
        (lambda images: images.__delitem__(slice(1, None)), "has 1 images and the model needs at least 3"),
        (lambda images: setattr(images[2], "ImageOrientationPatient", [0, 1, 0, 0, 0, 1]), "1 of 6 images differ"),
        (lambda images: setattr(images[4], "PhotometricInterpretation", "PALETTE COLOR"), "in colour"),
        (lambda images: images.append(images[0]), "is there twice"),
        (lambda images: setattr(images[2], "NumberOfFrames", -3), "NumberOfFrames"),
        (lambda images: setattr(images[2], "Rows", None), "no usable Rows"),
        (lambda images: setattr(images[1], "PixelPaddingValue", None) or tilted(images, 40), "sheared"),
    ],
)
def test_series_that_are_no_volume_are_refused(change: Callable[[list[Dataset]], Any], reason: str) -> None:
    images = series(VOXELS)
    change(images)
    with pytest.raises(InvalidInput, match=reason):
        answer(images, through())


def test_more_images_than_the_model_takes_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(InvalidInput, match="6 images or frames, the model takes at most 5"):
        read_volume(series(VOXELS), policy(maximum_slices=5))


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda tensor: {"out": tensor * np.nan}, "no finite numbers .* not tried again"),
        (lambda tensor: {"out": tensor[..., :-1] > 30}, "the size .* and the input"),
        (lambda tensor: {"out": (tensor > 30)[0, 0]}, "shape .* for 1 rows"),
        (lambda tensor: {"out": (tensor > 30)[:, 0]}, "the axes CZYX were declared"),
        (lambda tensor: {"out": tensor}, "no probabilities: declare its activation"),
        (lambda tensor: {"other": tensor}, "no output out"),
        (lambda tensor: {"out": np.zeros((1, 0, *tensor.shape[2:]))}, "has 0 channels"),
    ],
)
def test_answers_that_are_not_what_was_declared_are_refused(made: Callable[..., Any], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        answer(series(VOXELS), through(made))


@pytest.mark.parametrize("threshold", [0, -1, 1.5, float("nan")])
def test_a_threshold_that_is_none_is_refused(threshold: float) -> None:
    with pytest.raises(InvalidInput, match="confidence_threshold"):
        answer(series(VOXELS), through(), TaskParameters(confidence_threshold=threshold))


@pytest.mark.parametrize(
    ("file", "same_as"),
    [
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("MR_small_implicit.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
    ],
)
def test_compressed_and_big_endian_images_hold_the_same_values(file: str, same_as: str) -> None:
    image, plain = (pydicom.dcmread(get_testdata_file(name)) for name in (file, same_as))
    np.testing.assert_array_equal(modality_values(Frame(image)), modality_values(Frame(plain)))
    syntaxes = {RLELossless, ExplicitVRBigEndian, JPEG2000Lossless, JPEGLSLossless, "1.2.840.10008.1.2"}
    assert image.file_meta.TransferSyntaxUID in syntaxes


def test_lossless_jpeg_can_be_decoded() -> None:
    assert get_decoder(JPEGLossless).is_available


def test_a_whole_series_in_rle_gives_the_same_answer() -> None:
    images, packed = series(VOXELS), series(VOXELS)
    for image in packed:
        image.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    one, other = answer(images, through()), answer(packed, through())
    np.testing.assert_array_equal(one.arrays[0].array, other.arrays[0].array)
    assert one.found == other.found


def test_monochrome1_is_inverted_and_padding_is_air() -> None:
    image = series(VOXELS[:1])[0]
    image.PhotometricInterpretation, image.PixelPaddingValue = "MONOCHROME1", 3
    image.PixelRepresentation, image.BitsStored = 0, 8
    values = modality_values(Frame(image), -1000, invert_monochrome1=True)
    expected = 255.0 - VOXELS[0]
    expected[VOXELS[0] == 3] = -1000
    np.testing.assert_array_equal(values, expected)


def test_an_answer_without_a_voxel_is_no_finding() -> None:
    assert answer(series(VOXELS * 0), through()).outcome is ResultOutcome.NO_FINDINGS


READ = [
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelData",
    "NumberOfFrames",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "ImageType",
    "AcquisitionNumber",
    "SliceThickness",
    "RepetitionTime",
    "EchoTime",
    "ScanningSequence",
    "InstanceNumber",
    "FrameOfReferenceUID",
    "ModalityLUTSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "file_meta",
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("keyword", READ)
@pytest.mark.parametrize("multi_frame", [False, True])
def test_whatever_an_attribute_holds_it_is_an_answer_or_a_reason(keyword: str, multi_frame: bool) -> None:
    model = through()
    for value in (None, "", "x", -1, 7, [1, 2], float("nan"), b"\0\1\2", [Dataset()]):
        images = series(VOXELS)
        if multi_frame:
            images = [enhanced(images, list(range(6)))]
        with contextlib.suppress(Exception):  # pydicom refuses some values, which then cannot come
            setattr(images[-1], keyword, value)
        with contextlib.suppress(InvalidInput):
            answer(images, model)
