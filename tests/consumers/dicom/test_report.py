from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset

from consumers.dicom.material import Mask
from consumers.dicom.plan import ObjectKind, Plan
from consumers.dicom.prior import Prior
from consumers.dicom.render import render
from schemas.errors import InvalidMessage
from schemas.events import (
    Category,
    Characteristic,
    Code,
    Finding,
    InferenceResult,
    Laterality,
    Location,
    LocationKind,
    Measurement,
)
from schemas.terminology import Language
from tests.consumers.dicom.sources import COLUMNS, ROWS, ULTRASOUND_MULTI_FRAME, about, image
from tests.consumers.dicom.trees import below, comments, groups, named, read, template, tracking_uid
from tests.consumers.generated import big_case, generated
from tests.consumers.results import (
    BRAIN,
    MILLILITRE,
    VOLUME,
    finding,
    headers,
    mask,
    material,
    result_with_findings,
    result_without_findings,
)

SR_ONLY = frozenset({ObjectKind.SR})
SR_2D_ONLY = frozenset({ObjectKind.SR_2D})
WITH_SEG = frozenset({ObjectKind.SEG, ObjectKind.SR})
IMAGE = str(headers()[5].SOPInstanceUID)
FRAME_OF_REFERENCE = str(headers()[0].FrameOfReferenceUID)

POINT = Location(LocationKind.POINT, (100.5, 90.25), IMAGE)
CONTOUR = Location(LocationKind.CONTOUR, (10.0, 10.0, 40.0, 10.0, 40.0, 30.0), IMAGE)
BOX = Location(LocationKind.BOX, (40.0, 50.0, -5.0, 20.0), IMAGE)
POINT_3D = Location(LocationKind.POINT_3D, (1.5, -2.25, 30.0), frame_of_reference_uid=FRAME_OF_REFERENCE)
CONTOUR_3D = Location(LocationKind.CONTOUR_3D, (0.0, 0.0, 1.0, 9.0, 0.0, 1.0, 9.0, 9.0, 2.0))


def report(
    result: InferenceResult,
    masks: list[Mask] | None = None,
    kinds: frozenset[ObjectKind] = SR_ONLY,
    language: Language = Language.ENGLISH,
    prior: Prior | None = None,
) -> Dataset:
    """The report of a result, without masks unless they are given."""
    given = material(result, masks=[] if masks is None else masks)
    return read(render(result, given, Plan(kinds, language), prior)[-1])


def result_with(**changes: object) -> InferenceResult:
    """Result of one finding without a segment, changed so."""
    found = replace(finding(headers()[0], segment=None), **changes)  # type: ignore[arg-type]  # any field
    return replace(result_with_findings(), findings=(found,))


def regions(document: Dataset) -> list[Dataset]:
    return [item for group in groups(document) for item in named(group, "111030")]


def points(region: Dataset, dimensions: int = 2) -> list[list[float]]:
    return [[float(value) for value in row] for row in np.reshape(region.GraphicData, (-1, dimensions))]


def test_each_location_is_a_planar_group_with_the_same_tracking_uid() -> None:
    document = report(result_with(locations=(POINT, CONTOUR, BOX, POINT_3D, CONTOUR_3D)))
    found = groups(document)
    assert [template(group) for group in found] == ["1410"] * 5
    assert {tracking_uid(group) for group in found} == {result_with().findings[0].tracking_uid}
    assert [item.ValueType for item in regions(document)] == ["SCOORD"] * 3 + ["SCOORD3D"] * 2
    assert [item.GraphicType for item in regions(document)] == [
        "POINT",
        "POLYLINE",
        "POLYLINE",
        "POINT",
        "POLYLINE",
    ]


def test_only_the_first_group_of_a_finding_holds_its_numbers() -> None:
    found = groups(report(result_with(locations=(POINT, CONTOUR))))
    assert [sum(item.ValueType == "NUM" for item in group.ContentSequence) for group in found] == [2, 0]


def test_lines_on_an_image_are_closed_and_name_it() -> None:
    document = report(result_with(locations=(CONTOUR,)))
    (region,) = regions(document)
    assert points(region) == [[10, 10], [40, 10], [40, 30], [10, 10]]
    (image,) = region.ContentSequence
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == IMAGE
    assert "ReferencedFrameNumber" not in image.ReferencedSOPSequence[0], "the image has no frames"


def test_a_box_is_a_rectangle_within_the_image() -> None:
    (region,) = regions(report(result_with(locations=(BOX,))))
    assert points(region) == [[0, 20], [40, 20], [40, 50], [0, 50], [0, 20]]


def test_a_place_in_the_patient_names_its_frame_of_reference() -> None:
    first, second = regions(report(result_with(locations=(POINT_3D, CONTOUR_3D))))
    assert points(first, 3) == [[1.5, -2.25, 30]]
    assert points(second, 3)[0] == points(second, 3)[-1]
    uids = {str(first.ReferencedFrameOfReferenceUID), str(second.ReferencedFrameOfReferenceUID)}
    assert uids == {FRAME_OF_REFERENCE}, "the second took it from the images"


def test_comprehensive_sr_mentions_places_in_the_patient_and_draws_the_others() -> None:
    document = report(result_with(locations=(POINT_3D, CONTOUR)), kinds=SR_2D_ONLY)
    assert document.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.33"
    assert [item.ValueType for item in regions(document)] == ["SCOORD"]
    assert not [item for item in below(document) if item.ValueType == "SCOORD3D"]
    assert comments(groups(document)[0]) == ["In the patient (x / y / z, mm): 1.5 / -2.2 / 30.0"]


@pytest.mark.parametrize(("frame", "named_frame"), [(2, 2), (None, 1)])
def test_a_region_on_a_multi_frame_image_names_its_frame(frame: int | None, named_frame: int) -> None:
    pixels = np.zeros((3, ROWS, COLUMNS), dtype=np.uint8)
    result, given = about(image(ULTRASOUND_MULTI_FRAME, pixels), frame)
    (region,) = regions(read(render(result, given, Plan(SR_ONLY))[0]))
    assert region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber == named_frame


def test_highdicom_finds_every_group_again() -> None:
    case = generated(0)
    document = hd.sr.srread(io.BytesIO(render(case.result, case.material(), Plan(WITH_SEG))[-1].data))
    content: Any = document.content
    volumes, planes = (
        content.get_volumetric_roi_measurement_groups(),
        content.get_planar_roi_measurement_groups(),
    )
    assert len(volumes) == len(case.masks)
    assert len(volumes) + len(planes) == len(groups(document))
    wanted = case.result.findings[0].tracking_uid
    assert {group.tracking_uid for group in content.get_planar_roi_measurement_groups(tracking_uid=wanted)} <= {
        wanted
    }


def test_a_segment_without_a_line_is_outlined_on_three_slices() -> None:
    document = report(result_with_findings(), [mask()], WITH_SEG)
    assert [template(group) for group in groups(document)] == ["1411", "1410", "1410", "1410"]
    drawn = [
        region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID for region in regions(document)
    ]
    assert len(set(drawn)) == 3
    for region in regions(document):
        line = points(region)
        assert line[0] == line[-1]
        place = [header.SOPInstanceUID for header in headers()].index(
            region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        )
        rows, columns = np.nonzero(mask()[place])
        assert (min(x for x, _ in line), max(x for x, _ in line)) == (columns.min(), columns.max() + 1)
        assert (min(y for _, y in line), max(y for _, y in line)) == (rows.min(), rows.max() + 1)


def test_a_segment_with_a_line_of_the_model_is_not_outlined_again() -> None:
    result = result_with_findings()
    result = replace(result, findings=(replace(result.findings[0], locations=(CONTOUR,)),))
    document = report(result, [mask()], WITH_SEG)
    assert [template(group) for group in groups(document)] == ["1411", "1410"]
    assert len(points(regions(document)[0])) == 4


def test_a_report_without_the_segmentation_draws_the_segment_and_does_not_refer_to_it() -> None:
    document = report(result_with_findings(), [mask()])
    assert [template(group) for group in groups(document)] == ["1410", "1410", "1410"]
    assert not [item for item in below(document) if "121191" in str(item.get("ConceptNameCodeSequence"))]


def test_an_empty_mask_is_neither_referred_to_nor_outlined() -> None:
    document = report(result_with_findings(), [np.zeros_like(mask())], WITH_SEG)
    (group,) = groups(document)
    assert template(group) == "1501"


def test_a_finding_without_a_place_cites_its_evidence() -> None:
    (group,) = groups(report(result_with(evidence=(IMAGE,))))
    assert template(group) == "1501"
    (image,) = named(group, "121112")
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == IMAGE


def test_side_properties_category_and_warnings_of_a_finding_are_said() -> None:
    shape = Characteristic(Code("300842002", "SCT", "Shape"), Code("129733003", "SCT", "Irregular"))
    document = report(
        result_with(
            laterality=Laterality.LEFT,
            characteristics=(shape,),
            category=Category.CRITICAL,
            warnings=("артефакт",),
        ),
        language=Language.UKRAINIAN,
    )
    (group,) = groups(document)
    (site,) = named(group, "363698007")
    (side,) = named(site, "272741003")
    assert (site.RelationshipType, side.RelationshipType) == ("HAS CONCEPT MOD", "HAS CONCEPT MOD")
    assert side.ConceptCodeSequence[0].CodeMeaning == "Left", "coded values are never translated"
    assert named(group, "300842002")[0].ConceptCodeSequence[0].CodeValue == "129733003"
    assert named(group, "category")[0].ConceptCodeSequence[0].CodeValue == "critical"
    assert comments(group) == ["Попередження: артефакт"]


def test_a_side_without_a_site_is_a_property() -> None:
    (group,) = groups(report(result_with(site=None, laterality=Laterality.BILATERAL)))
    assert named(group, "272741003")[0].ConceptCodeSequence[0].CodeValue == "51440002"


def test_a_measurement_says_its_method_and_what_is_no_number_says_so() -> None:
    method = Code("126020", "DCM", "Multiplanar Reformatting")
    document = report(
        result_with(
            probability=None,
            measurements=(Measurement(VOLUME, 3.25, MILLILITRE, method), Measurement(BRAIN, math.nan, MILLILITRE)),
        )
    )
    number, none = (item for item in groups(document)[0].ContentSequence if item.ValueType == "NUM")
    assert float(number.MeasuredValueSequence[0].NumericValue) == 3.25
    assert number.ContentSequence[0].ConceptCodeSequence[0].CodeValue == "126020"
    assert not none.MeasuredValueSequence
    assert none.NumericValueQualifierCodeSequence[0].CodeValue == "114000"


@pytest.mark.parametrize(
    ("language", "code", "words"),
    [
        (Language.ENGLISH, "en", ("Preliminary result", "Limitations: ", "Image quality: ", "Outside what")),
        (Language.UKRAINIAN, "uk", ("Попередній результат", "Обмеження: ", "Якість зображень: ", "Поза межами")),
    ],
)
def test_what_is_about_the_run_is_said_in_the_language_of_the_destination(
    language: Language, code: str, words: tuple[str, ...]
) -> None:
    result = replace(
        result_with_findings(),
        image_quality_warnings=("рух",),
        out_of_domain_warnings=("дитина",),
        quality=(Measurement(Code("111029", "DCM", "Image Quality Rating"), 0.5, Code("1", "UCUM", "no units")),),
    )
    document = report(result, language=language)
    assert named(document, "121049")[0].ConceptCodeSequence[0].CodeValue == code
    (about,) = named(document, "C0034375")
    assert len(comments(about)) == 4
    assert all(text.startswith(word) for text, word in zip(comments(about), words, strict=True))
    assert float(named(about, "111029")[0].MeasuredValueSequence[0].NumericValue) == 0.5


def test_the_report_of_nothing_found_cites_every_image_and_says_what_it_does_not_exclude() -> None:
    document = report(result_without_findings())
    assert len(named(groups(document)[0], "121112")) == 20
    assert any("does not exclude disease" in text for text in comments(document))


def test_a_report_names_the_one_that_it_replaces() -> None:
    prior = Prior("1.2.3", "1.2.3.4", "1.2.840.10008.5.1.4.1.1.88.34", "1.2.3.4.5")
    (study,) = report(result_with_findings(), prior=prior).PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    (instance,) = series.ReferencedSOPSequence
    assert (study.StudyInstanceUID, series.SeriesInstanceUID) == ("1.2.3", "1.2.3.4")
    assert instance.ReferencedSOPInstanceUID == "1.2.3.4.5"
    assert "PredecessorDocumentsSequence" not in report(result_with_findings())


def test_the_device_identifier_of_a_registered_model_is_in_its_equipment() -> None:
    result = result_with_findings()
    result = replace(result, model=replace(result.model, udi="(01)04012345678901(21)7"))
    (item,) = [one for one in report(result).ContributingEquipmentSequence if "DeviceUID" in one]
    assert item.UDISequence[0].UniqueDeviceIdentifier == "(01)04012345678901(21)7"


def test_the_algorithm_is_named_once_for_all_groups_as_in_its_equipment() -> None:
    document = report(generated(2).result, list(generated(2).masks))
    (measurements,) = named(document, "126010")
    (item,) = [one for one in document.ContributingEquipmentSequence if "DeviceUID" in one]
    said = [named(measurements, code)[0].TextValue for code in ("111001", "111003", "122405")]
    assert said == [item.ManufacturerModelName, item.SoftwareVersions, item.Manufacturer]
    (observer,) = named(document, "121012")
    assert item.DeviceUID == observer.UID


@pytest.mark.parametrize(
    "changes",
    [
        {"locations": (replace(CONTOUR, sop_instance_uid="1.2.999"),)},
        {"evidence": ("1.2.999",)},
    ],
)
def test_an_image_that_the_result_does_not_have_is_named(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidMessage, match=r"image 1\.2\.999, which is not among .* send the study again"):
        report(result_with(**changes))


@pytest.mark.parametrize(
    "location",
    [
        replace(POINT, points=(1.0,)),
        replace(POINT, points=()),
        replace(BOX, points=(1.0, 2.0)),
        replace(CONTOUR, points=(1.0, 2.0, math.inf, 4.0)),
        replace(POINT_3D, points=(1.0, 2.0)),
    ],
)
def test_numbers_that_are_no_place_are_an_error(location: Location) -> None:
    with pytest.raises(InvalidMessage, match="correct what the model gives"):
        report(result_with(locations=(location,)))


def test_a_code_without_a_value_is_an_error() -> None:
    with pytest.raises(InvalidMessage, match="no value or no coding scheme"):
        report(result_with(site=Code("", "SCT", "Brain")))


def test_a_long_line_is_thinned_to_what_one_value_holds() -> None:
    angles = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    circle = np.stack([100 + 50 * np.cos(angles), 100 + 50 * np.sin(angles)], axis=1)
    (region,) = regions(report(result_with(locations=(replace(CONTOUR, points=tuple(circle.ravel().tolist())),))))
    line = points(region)
    assert line[0] == line[-1]
    assert 4000 < len(line) <= 8000


def test_five_hundred_findings_are_all_reported() -> None:
    case = big_case()
    document = read(render(case.result, case.material(), Plan(WITH_SEG))[-1])
    reported = {tracking_uid(group) for group in groups(document)}
    assert reported == {one.tracking_uid for one in case.result.findings}
    assert len(reported) == 500


def test_one_tracking_uid_ties_all_objects_of_a_finding() -> None:
    case = generated(0)
    found: dict[str, set[str]] = {}
    for item in render(case.result, case.material(), Plan(frozenset({*WITH_SEG, ObjectKind.GSPS}))):
        dataset = read(item)
        found.setdefault(str(dataset.Modality), set()).update(_tracking_uids(dataset))
    tracked: set[str] = {one.tracking_uid for one in case.result.findings}
    with_segment: list[Finding] = [one for one in case.result.findings if one.segment_number]
    assert found["SR"] == tracked
    assert found["SEG"] == {one.tracking_uid for one in with_segment}
    assert found["PR"] <= tracked
    assert found["PR"]


def _tracking_uids(dataset: Dataset) -> set[str]:
    uids = {str(dataset.TrackingUID)} if "TrackingUID" in dataset else set()
    if dataset.get("ValueType") == "UIDREF" and dataset.ConceptNameCodeSequence[0].CodeValue == "112040":
        uids.add(str(dataset.UID))
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                uids |= _tracking_uids(item)
    return uids
