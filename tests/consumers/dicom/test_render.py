from __future__ import annotations

import copy
import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from consumers.dicom.material import Mask
from consumers.dicom.plan import PRESETS, Plan
from consumers.dicom.render import RenderedObject, render
from consumers.dicom.warmup import warm_up
from schemas.errors import InvalidMessage
from schemas.events import Artifact, InferenceResult
from tests.consumers.dicom.trees import concept, groups, read
from tests.consumers.results import (
    finding,
    headers,
    mask,
    material,
    result_with_findings,
    result_without_findings,
)

SEG = "1.2.840.10008.5.1.4.1.1.66.4"
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"


def objects(
    result: InferenceResult, sources: Sequence[Dataset] | None = None, masks: Sequence[Mask] | None = None
) -> tuple[RenderedObject, ...]:
    return render(result, material(result, sources, masks), Plan())


def rendered(result: InferenceResult | None = None, sources: list[Dataset] | None = None) -> list[Dataset]:
    return [read(item) for item in objects(result or result_with_findings(), sources)]


def with_sequences(dataset: Dataset) -> list[Dataset]:
    items = [dataset]
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                items.extend(with_sequences(item))
    return items


def test_findings_become_a_segmentation_and_a_report() -> None:
    seg, sr = rendered()
    assert (seg.SOPClassUID, sr.SOPClassUID) == (SEG, COMPREHENSIVE_3D_SR)
    assert (seg.Modality, sr.Modality) == ("SEG", "SR")
    assert seg.SegmentationType == "BINARY"
    assert seg.StudyInstanceUID == sr.StudyInstanceUID == headers()[0].StudyInstanceUID
    assert (sr.CompletionFlag, sr.VerificationFlag, sr.PreliminaryFlag) == (
        "COMPLETE",
        "UNVERIFIED",
        "PRELIMINARY",
    )


def test_rendering_twice_gives_the_same_bytes() -> None:
    first = objects(result_with_findings())
    second = objects(result_with_findings(), headers()[::-1])
    assert [item.data for item in first] == [item.data for item in second]


def test_a_second_run_with_the_same_outcome_names_the_same_objects() -> None:
    result = result_with_findings()
    again = replace(result, occurred_at=result.deadline, event_id="other", task_id="other")
    found = replace(result.findings[0], occurred_at=result.deadline, event_id="other", task_id="other")
    again = replace(again, findings=(found,))
    assert [item.SOPInstanceUID for item in rendered(again)] == [item.SOPInstanceUID for item in rendered()]


@pytest.mark.parametrize("what", ["volume", "mask", "model", "revision", "warning"])
def test_another_outcome_names_other_objects(what: str) -> None:
    result = result_with_findings()
    other = {
        "volume": replace(result, findings=(finding(headers()[0], volume_ml=1.0),)),
        "mask": replace(result, artifacts=(Artifact("mask", "m", "u", "cd" * 32, 1, (20, 256, 256)),)),
        "model": replace(result, model=replace(result.model, sha256="cd" * 32)),
        "revision": replace(result, revision=2),
        "warning": replace(result, warnings=("oblique",)),
    }[what]
    assert not {item.SOPInstanceUID for item in rendered(other)} & {item.SOPInstanceUID for item in rendered()}


def test_the_mask_comes_back_voxel_by_voxel() -> None:
    seg = rendered()[0]
    by_uid = {str(header.SOPInstanceUID): place for place, header in enumerate(headers())}
    back = np.zeros((20, 256, 256), dtype=bool)
    frames = seg.pixel_array
    for frame, group in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        back[by_uid[source.ReferencedSOPInstanceUID]] = frame
        position = group.PlanePositionSequence[0].ImagePositionPatient
        header = headers()[by_uid[source.ReferencedSOPInstanceUID]]
        assert [float(value) for value in position] == [float(value) for value in header.ImagePositionPatient]
    assert np.array_equal(back, mask())
    assert len(frames) == int(mask().any(axis=(1, 2)).sum()), "empty frames are left out"


def test_segment_report_and_equipment_name_the_same_algorithm() -> None:
    result = result_with_findings()
    seg, sr = rendered()
    segment = seg.SegmentSequence[0]
    assert segment.TrackingUID == result.findings[0].tracking_uid
    assert segment.SegmentLabel == "Brain"
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning == "Anatomical Structure"
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == (result.model.name, result.model.version)
    for dataset in (seg, sr):
        processing = [
            item
            for item in dataset.ContributingEquipmentSequence
            if item.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
        ]
        assert len(processing) == 1, "a reader takes the first processing equipment: there is only ours"
        assert processing[0].Manufacturer == result.model.manufacturer
        assert processing[0].ManufacturerModelName == result.model.name
        assert processing[0].SoftwareVersions == result.model.version
        assert processing[0].DeviceUID == result.model.device_uid
        assert processing[0].ContributionDescription == "Research use only"
        assert dataset.Manufacturer == "scanstream"
        assert dataset.ManufacturerModelName
        assert dataset.SoftwareVersions
        assert dataset.DeviceSerialNumber


def test_times_are_those_of_the_result_in_utc() -> None:
    for dataset in rendered():
        for kind in ("Content", "InstanceCreation", "Series"):
            assert dataset[f"{kind}Date"].value == "20260301"
            assert dataset[f"{kind}Time"].value == "123015.250"
        assert dataset.TimezoneOffsetFromUTC == "+0000"


def test_times_follow_the_offset_of_the_source_where_it_has_one() -> None:
    sources = headers()
    local = pydicom.Dataset(sources[0])
    local.TimezoneOffsetFromUTC = "+0200"
    for dataset in rendered(sources=[local, *sources[1:]]):
        assert dataset.TimezoneOffsetFromUTC == "+0200"
        assert dataset.ContentTime == "143015.250"


def test_the_report_measures_the_segment() -> None:
    seg, sr = rendered()
    items = {item.ConceptNameCodeSequence[0].CodeMeaning: item for item in groups(sr)[0].ContentSequence}
    (found,) = result_with_findings().findings
    tracking_uid = str(items["Tracking Unique Identifier"].UID)
    assert tracking_uid == found.tracking_uid
    volume = items["Volume"].MeasuredValueSequence[0]
    assert (float(volume.NumericValue), volume.MeasurementUnitsCodeSequence[0].CodeValue) == (1234.5, "mL")
    assert items["Volume"].ContentSequence[0].ConceptCodeSequence[0].CodeValue == "126030"
    assert items["Finding Site"].ConceptCodeSequence[0].CodeValue == "12738006"
    reference = items["Referenced Segment"].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == seg.SOPInstanceUID
    assert reference.ReferencedSegmentNumber == 1
    assert float(items["Certainty of Finding"].MeasuredValueSequence[0].NumericValue) == 87.0


def test_the_evidence_lists_every_source_image_and_the_segmentation() -> None:
    seg, sr = rendered()
    listed = {
        item.ReferencedSOPInstanceUID
        for series in sr.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert listed == {header.SOPInstanceUID for header in headers()} | {seg.SOPInstanceUID}


def test_nothing_found_is_said_in_a_report_without_a_segmentation() -> None:
    (item,) = objects(result_without_findings(), masks=[])
    sr = read(item)
    said = [
        (concept(one), one.ConceptCodeSequence[0].CodeValue)
        for one in groups(sr)[0].ContentSequence
        if one.ValueType == "CODE"
    ]
    assert ("121071", "272519000") in said, "Finding: Absent"


def test_an_empty_mask_makes_no_segmentation() -> None:
    (item,) = objects(result_without_findings(), masks=[np.zeros((20, 256, 256), dtype=bool)])
    assert read(item).SOPClassUID == COMPREHENSIVE_3D_SR


def test_two_masks_become_two_segments() -> None:
    result = result_with_findings()
    second = replace(result.findings[0], segment_number=2, tracking_uid="2.25.7", tracking_id="hole")
    result = replace(result, findings=(result.findings[0], second))
    seg = read(objects(result, masks=[mask(), mask()])[0])
    assert [segment.SegmentNumber for segment in seg.SegmentSequence] == [1, 2]
    assert [segment.TrackingUID for segment in seg.SegmentSequence] == [result.findings[0].tracking_uid, "2.25.7"]


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 144", "Шевченко^Євген"),
        ("ISO_IR 192", "Ґалаґан^Їжак"),
        ("ISO_IR 100", "Müller^Jürgen"),
        (None, "DEMO^BRAIN"),
    ],
)
def test_names_of_every_character_set_are_written_as_utf_8(character_set: str | None, name: str) -> None:
    source = copy.deepcopy(headers()[0])
    source.SpecificCharacterSet = character_set
    source.PatientName = name
    buffer = io.BytesIO()
    source.file_meta = headers()[0].file_meta
    source.save_as(buffer, enforce_file_format=True)
    received = pydicom.dcmread(io.BytesIO(buffer.getvalue()))
    for dataset in rendered(sources=[received, *headers()[1:]]):
        assert dataset.SpecificCharacterSet == "ISO_IR 192"
        assert str(dataset.PatientName) == name


def test_headers_from_dicom_json_carry_names_too() -> None:
    source = copy.deepcopy(headers()[0])
    source.SpecificCharacterSet = "ISO_IR 144"
    source.PatientName = "Шевченко^Євген"
    from_json = Dataset.from_json(source.to_json_dict())
    for dataset in rendered(sources=[from_json, *headers()[1:]]):
        assert str(dataset.PatientName) == "Шевченко^Євген"


def test_bytes_outside_the_declared_character_set_do_not_stop_the_result() -> None:
    source = copy.deepcopy(headers()[0])
    source.PatientName = "X^Y"
    buffer = io.BytesIO()
    source.file_meta = headers()[0].file_meta
    source.save_as(buffer, enforce_file_format=True)
    windows_1251 = "Їж".encode("cp1251") + b"^"
    received = pydicom.dcmread(io.BytesIO(buffer.getvalue().replace(b"X^Y ", windows_1251 + b" ")))
    assert len(rendered(sources=[received, *headers()[1:]])) == 2


def test_a_source_without_optional_attributes_is_enough() -> None:
    source = copy.deepcopy(headers()[0])
    for keyword in ("PatientName", "PatientID", "StudyID", "AccessionNumber", "ReferringPhysicianName"):
        del source[keyword]
    assert [dataset.PatientName for dataset in rendered(sources=[source, *headers()[1:]])] == ["", ""]


def test_the_callers_headers_are_not_changed() -> None:
    sources = headers()
    before = [header.to_json() for header in sources]
    rendered(sources=sources)
    assert [header.to_json() for header in sources] == before


def test_no_private_value_of_the_source_is_copied_beside_patient_and_study() -> None:
    source = copy.deepcopy(headers()[0])
    source.private_block(0x0011, "vendor", create=True).add_new(1, "LO", "secret")
    for dataset in rendered(sources=[source, *headers()[1:]]):
        assert not [element for item in with_sequences(dataset) for element in item if element.tag.is_private]


def test_missing_source_images_are_an_error_with_a_remedy() -> None:
    with pytest.raises(InvalidMessage, match=r"1 of 20 source images .*the first is 1\.2.* send the study again"):
        objects(result_with_findings(), headers()[1:])


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        ([mask()[:19]], "19 slices but the source has 20"),
        ([mask()[:, :, :255]], "255 x 256"),
        ([mask(), mask()], "2 masks"),
        ([mask(), np.zeros_like(mask())], "2 masks, 1 of them with voxels"),
    ],
)
def test_a_mask_that_does_not_fit_is_an_error(masks: list[Mask], said: str) -> None:
    with pytest.raises(InvalidMessage, match=said):
        objects(result_with_findings(), masks=masks)


def test_an_unusable_header_is_an_error_that_quotes_no_value() -> None:
    source = copy.deepcopy(headers()[0])
    del source["ImagePositionPatient"]
    with pytest.raises(InvalidMessage, match="check the headers") as raised:
        rendered(sources=[source, *headers()[1:]])
    assert "DEMO" not in str(raised.value)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_warming_up_needs_nothing(preset: str) -> None:
    warm_up(Plan(PRESETS[preset]))
