"""What counts as the same object, and what does not."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian, RLELossless

from consumers.dicom.plan import ObjectKind, Plan
from consumers.dicom.render import RenderedObject
from consumers.stow.sameness import differs_at
from tests.consumers.generated import generated
from tests.consumers.stow.objects import SEG, SR, changed, data_set, encoded, of


@pytest.fixture(scope="module")
def made() -> tuple[RenderedObject, ...]:
    return of(generated(0))


def set_to(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda dataset: setattr(dataset, keyword, value)


def reconciled(dataset: Dataset) -> None:
    dataset.PatientName, dataset.PatientID, dataset.AccessionNumber = "Other^Name", "1", "A2"
    dataset.StudyDescription = "CT of the archive"
    dataset.OriginalAttributesSequence = [Dataset()]


def archived(dataset: Dataset) -> None:
    dataset.RetrieveAETitle, dataset.InstanceAvailability = "ARCHIVE", "ONLINE"
    block = dataset.private_block(0x0099, "ARCHIVE 1.0", create=True)
    block.add_new(1, "LO", "tier 2")
    dataset.DataSetTrailingPadding = b"\0\0"


def a_run_later(dataset: Dataset) -> None:
    dataset.ContentDate = dataset.InstanceCreationDate = dataset.SeriesDate = "20300101"
    dataset.ContentTime = dataset.InstanceCreationTime = dataset.SeriesTime = "010203"
    dataset.TimezoneOffsetFromUTC = "+0200"


def without_empty_ones(dataset: Dataset) -> None:
    for element in list(dataset):
        if element.is_empty:
            del dataset[element.tag]


@pytest.mark.parametrize("change", [reconciled, archived, a_run_later, without_empty_ones])
def test_what_an_archive_or_another_run_changes_does_not_matter(
    made: tuple[RenderedObject, ...], change: Callable[[Dataset], None]
) -> None:
    for item in made:
        assert differs_at(item.data, data_set(changed(item, change))) is None


@pytest.mark.parametrize("seed", [0, 2, 4, 6])
def test_a_second_run_that_says_the_same_makes_the_same_objects(seed: int) -> None:
    case = generated(seed)
    moment = case.result.occurred_at + timedelta(days=3, milliseconds=17)
    findings = tuple(
        replace(finding, event_id="e", finding_id="f", task_id="t", occurred_at=moment)
        for finding in case.result.findings
    )
    result = replace(
        case.result, event_id="e", task_id="t", occurred_at=moment, findings=findings, attempt=2, node="another"
    )
    # a summary page shows the time of the run, so it is another object, and so is what selects it
    plan = Plan(frozenset(ObjectKind) - {ObjectKind.SC, ObjectKind.KOS})
    first, second = of(case, plan), of(replace(case, result=result), plan)
    assert [item.sop_instance_uid for item in first] == [item.sop_instance_uid for item in second]
    for one, other in zip(first, second, strict=True):
        assert one.data != other.data, "the time of the run is another one"
        assert differs_at(one.data, data_set(other)) is None


def test_another_transfer_syntax_does_not_matter(made: tuple[RenderedObject, ...]) -> None:
    def implicit(dataset: Dataset) -> None:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian

    for item in made:
        assert differs_at(item.data, data_set(changed(item, implicit))) is None


def test_compressed_pixels_are_compared_as_pixels() -> None:
    compressed = data_set(SEG)
    compressed.compress(RLELossless, generate_instance_uid=False)
    assert differs_at(SEG.data, pydicom.dcmread(io.BytesIO(encoded(compressed)))) is None
    other = data_set(changed(SEG, set_to("PixelData", b"\1" + bytes(1_999_999))))
    other.compress(RLELossless, generate_instance_uid=False)
    assert differs_at(SEG.data, pydicom.dcmread(io.BytesIO(encoded(other)))) == "PixelData"
    broken = data_set(SEG)
    broken.compress(RLELossless, generate_instance_uid=False)
    broken.PixelData = broken.PixelData[:100]
    assert differs_at(SEG.data, broken) == "PixelData"


def another_text(dataset: Dataset) -> None:
    dataset.ContentSequence[0].TextValue = "Ґ"


def another_item(dataset: Dataset) -> None:
    dataset.ContentSequence.append(Dataset())


def no_sequence(dataset: Dataset) -> None:
    del dataset.ContentSequence


@pytest.mark.parametrize(
    ("item", "change", "place"),
    [
        (SR, another_text, "ContentSequence[1].TextValue"),
        (SR, another_item, "ContentSequence"),
        (SR, no_sequence, "ContentSequence"),
        (SR, set_to("SeriesInstanceUID", "1.99"), "SeriesInstanceUID"),
        (SR, set_to("Modality", "SR"), "Modality"),
        (SEG, set_to("Rows", 999), "Rows"),
        (SEG, set_to("PixelData", b"\1" + bytes(1_999_999)), "PixelData"),
        (SEG, lambda seg: seg.pop("PixelData"), "PixelData"),
        (SR, lambda report: report.add_new("PixelData", "OW", b"\1\2"), "PixelData"),
    ],
)
def test_another_content_is_found_and_named_without_its_value(
    item: RenderedObject, change: Callable[[Dataset], None], place: str
) -> None:
    assert differs_at(item.data, data_set(changed(item, change))) == place


def test_a_value_that_cannot_be_read_is_not_ours() -> None:
    broken = SEG.data.replace(b"\x28\x00\x08\x00IS\x02\x002 ", b"\x28\x00\x08\x00IS\x02\x00\xff\xfe")
    assert broken != SEG.data
    assert differs_at(SEG.data, pydicom.dcmread(io.BytesIO(broken))) == "NumberOfFrames"
