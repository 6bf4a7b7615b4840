"""Probabilities and heatmaps come back from the objects as they went in."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from consumers.dicom.fractional import fractional
from consumers.dicom.material import Heatmap, Material
from consumers.dicom.parametric import parametric_maps
from consumers.dicom.segmentation import segmentation
from consumers.dicom.source import prepare
from schemas.errors import InvalidMessage
from schemas.events import Code, Finding, Laterality
from tests.consumers.dicom.sources import COLUMNS, ROWS, SOURCES, about
from tests.consumers.generated import generated
from tests.consumers.results import headers, mask, result_with_findings

SHAPE = (20, 256, 256)
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
HOUNSFIELD = Code("[hnsf'U]", "UCUM", "Hounsfield unit")


def no_image(uid: str) -> Dataset:
    raise AssertionError(f"pixels of {uid} were asked for")


def written(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def read(dataset: Dataset | None) -> Dataset:
    assert dataset is not None
    return pydicom.dcmread(io.BytesIO(written(dataset)))


def two_findings() -> tuple[Finding, Finding]:
    (first,) = result_with_findings().findings
    second = replace(first, segment_number=2, tracking_uid="2.25.7", tracking_id="second")
    return first, second


def volume(seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).random(SHAPE, dtype=np.float32)
    return np.where(mask(), values, 0).astype(np.float32)


def material(**arrays: Any) -> Material:
    return replace(Material(prepare(result_with_findings(), headers()), no_image), **arrays)


def back(dataset: Dataset, number: int) -> np.ndarray:
    """Values of a segment by the images that its frames name."""
    order = {str(header.SOPInstanceUID): place for place, header in enumerate(headers())}
    found = np.zeros(SHAPE)
    (shared,) = dataset.SharedFunctionalGroupsSequence
    for frame, group in zip(dataset.pixel_array, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        # one segment is said once for all frames
        (segment,) = group.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence
        if segment.ReferencedSegmentNumber == number:
            source = group.DerivationImageSequence[0].SourceImageSequence[0]
            found[order[source.ReferencedSOPInstanceUID]] = frame
    return found


def test_probabilities_come_back_within_half_a_step() -> None:
    result = replace(result_with_findings(), findings=two_findings())
    made = read(fractional(result, material(probabilities=(volume(1), volume(2)))))
    assert (made.SegmentationType, made.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    for number in (1, 2):
        assert np.abs(back(made, number) / made.MaximumFractionalValue - volume(number)).max() <= 0.5 / 255 + 1e-6


def test_a_segment_without_probability_is_left_out_and_the_others_keep_their_tracking() -> None:
    result = replace(result_with_findings(), findings=two_findings())
    empty = np.full(SHAPE, 0.001, dtype=np.float32)
    made = read(fractional(result, material(probabilities=(empty, volume()))))
    (segment,) = made.SegmentSequence
    assert (segment.SegmentNumber, segment.TrackingUID) == (1, "2.25.7")
    assert np.count_nonzero(back(made, 1)) > 0


@pytest.mark.parametrize("probabilities", [(), (np.zeros(SHAPE, np.float32),)])
def test_no_probability_is_no_object(probabilities: tuple[np.ndarray, ...]) -> None:
    assert fractional(result_with_findings(), material(probabilities=probabilities)) is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (np.full(SHAPE, 1.5, np.float32), "outside 0…1"),
        (np.full(SHAPE, np.nan, np.float32), "outside 0…1"),
        (np.ones((19, 256, 256), np.float32), "19 slices"),
        (np.ones((20, 256, 255), np.float32), "255 x 256"),
    ],
)
def test_what_is_no_probability_of_these_images_is_an_error(wrong: np.ndarray, said: str) -> None:
    with pytest.raises(InvalidMessage, match=said):
        fractional(result_with_findings(), material(probabilities=(wrong,)))


def test_a_probability_that_no_finding_describes_is_an_error() -> None:
    with pytest.raises(InvalidMessage, match=r"segments \[2\]"):
        fractional(result_with_findings(), material(probabilities=(volume(), volume())))


def test_an_empty_mask_among_others_is_described_and_has_no_frames() -> None:
    result = replace(result_with_findings(), findings=two_findings())
    made = read(segmentation(result, material(masks=(np.zeros(SHAPE, bool), mask()))))
    assert [item.SegmentNumber for item in made.SegmentSequence] == [1, 2]
    assert not back(made, 1).any()
    assert np.array_equal(back(made, 2) > 0, mask())


@pytest.mark.parametrize(
    ("side", "code"),
    [(Laterality.LEFT, "7771000"), (Laterality.RIGHT, "24028007"), (Laterality.BILATERAL, "51440002"), (None, "")],
)
def test_the_side_modifies_the_anatomic_region(side: Laterality | None, code: str) -> None:
    (found,) = result_with_findings().findings
    result = replace(result_with_findings(), findings=(replace(found, laterality=side),))
    for made in (
        segmentation(result, material(masks=(mask(),))),
        fractional(result, material(probabilities=(volume(),))),
    ):
        (region,) = read(made).SegmentSequence[0].AnatomicRegionSequence
        modifiers = region.get("AnatomicRegionModifierSequence", [])
        assert [item.CodeValue for item in modifiers] == ([code] if code else [])
        # the meaning of CID 244, as reports have it
        assert not modifiers or side is None or modifiers[0].CodeMeaning.upper() == side.name


def test_a_heatmap_comes_back_bit_by_bit_with_its_quantity_and_unit() -> None:
    values = (volume() * 1500 - 700).astype(np.float32)
    heatmap = Heatmap(values, ATTENUATION, HOUNSFIELD)
    (made,) = parametric_maps(result_with_findings(), material(heatmaps=(heatmap,)))
    made = read(made)
    order = [
        item.DerivationImageSequence[0].SourceImageSequence[0] for item in made.PerFrameFunctionalGroupsSequence
    ]
    names = [str(item.ReferencedSOPInstanceUID) for item in order]
    by_name = dict(zip(names, made.pixel_array, strict=True))
    assert np.array_equal(np.stack([by_name[str(header.SOPInstanceUID)] for header in headers()]), values)
    mapping = made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "[hnsf'U]"
    assert mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue == "112031"
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
    assert mapping.DoubleFloatRealWorldValueFirstValueMapped == pytest.approx(values.min())
    voi = made.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence[0]
    assert (voi.VOILUTFunction, float(voi.WindowWidth) > 0) == ("LINEAR_EXACT", True)


@pytest.mark.parametrize(("udi", "said"), [(None, "RESEARCH"), ("(01)04012345678901", "PRODUCT")])
def test_only_a_registered_device_makes_products(udi: str | None, said: str) -> None:
    result = result_with_findings()
    result = replace(result, model=replace(result.model, udi=udi))
    (made,) = parametric_maps(result, material(heatmaps=(Heatmap(volume(), ATTENUATION, HOUNSFIELD),)))
    assert made.ContentQualification == said


@pytest.mark.parametrize("values", [np.zeros(SHAPE, np.float32), np.full(SHAPE, -3e-9, np.float32)])
def test_a_heatmap_of_one_value_can_be_shown(values: np.ndarray) -> None:
    (made,) = parametric_maps(
        result_with_findings(), material(heatmaps=(Heatmap(values, ATTENUATION, HOUNSFIELD),))
    )
    voi = read(made).SharedFunctionalGroupsSequence[0].FrameVOILUTSequence[0]
    assert float(voi.WindowWidth) > 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.full(SHAPE, np.nan, np.float32), "infinite or none"),
        (np.full(SHAPE, np.inf, np.float32), "infinite or none"),
        (np.zeros((3, 256, 256), np.float32), "3 slices"),
    ],
)
def test_what_is_no_heatmap_of_these_images_is_an_error(values: np.ndarray, said: str) -> None:
    with pytest.raises(InvalidMessage, match=said):
        parametric_maps(result_with_findings(), material(heatmaps=(Heatmap(values, ATTENUATION, HOUNSFIELD),)))


def test_several_heatmaps_are_several_objects_of_one_series() -> None:
    one = Heatmap(volume(), ATTENUATION, HOUNSFIELD)
    made = parametric_maps(result_with_findings(), material(heatmaps=(one, one)))
    assert len({item.SOPInstanceUID for item in made}) == 2
    assert len({item.SeriesInstanceUID for item in made}) == 1
    assert [item.InstanceNumber for item in made] == [1, 2]


def test_the_same_result_gives_the_same_bytes() -> None:
    case = generated(0)
    assert case.probabilities
    assert case.heatmaps

    def objects() -> list[bytes]:
        made = [segmentation(case.result, case.material()), fractional(case.result, case.material())]
        return [
            written(item) for item in (*made, *parametric_maps(case.result, case.material())) if item is not None
        ]

    assert objects() == objects()
    assert len(objects()) == 3


def test_binary_and_fractional_segments_track_the_same_findings() -> None:
    case = generated(0)
    binary = segmentation(case.result, case.material())
    likely = fractional(case.result, case.material())
    assert binary is not None
    assert likely is not None
    tracked = [{item.TrackingUID for item in made.SegmentSequence} for made in (binary, likely)]
    assert tracked[1] <= tracked[0]
    names = [item.DeviceUID for item in likely.ContributingEquipmentSequence if "DeviceUID" in item]
    assert names == [case.result.model.device_uid]


@pytest.mark.parametrize("name", ["gray", "colour", "frames"])
def test_images_without_a_frame_of_reference_get_what_can_be_made_of_them(name: str) -> None:
    result, about_it = about(SOURCES[name]())
    result = replace(result, findings=(replace(result.findings[0], segment_number=1),))
    small = np.zeros((3 if name == "frames" else 1, ROWS, COLUMNS), dtype=bool)
    small[:, 10:20, 30:50] = True
    likely = small.astype(np.float32)
    heatmap = Heatmap(likely, ATTENUATION, HOUNSFIELD)
    about_it = replace(about_it, masks=(small,), probabilities=(likely,), heatmaps=(heatmap,))
    made = [segmentation(result, about_it), fractional(result, about_it)]
    assert parametric_maps(result, about_it) == []
    if name == "frames":
        assert made == [None, None]
    else:
        assert np.array_equal(read(made[0]).pixel_array > 0, small[0])
        assert np.array_equal(read(made[1]).pixel_array, likely[0] * 255)
