from __future__ import annotations

from dataclasses import replace

from pydicom import Dataset

from consumers.dicom.plan import ObjectKind, Plan
from consumers.dicom.render import render
from schemas.events import InferenceResult, Location, LocationKind
from schemas.terminology import Language
from tests.consumers.dicom.trees import concept, named, read
from tests.consumers.results import headers, mask, material, result_with_findings, result_without_findings

KOS_ONLY = frozenset({ObjectKind.KOS})
UIDS = [str(header.SOPInstanceUID) for header in headers()]


def rendered(
    result: InferenceResult, kinds: frozenset[ObjectKind] = KOS_ONLY, language: Language = Language.ENGLISH
) -> list[Dataset]:
    return [read(item) for item in render(result, material(result), Plan(kinds, language))]


def pointed_at(document: Dataset) -> list[str]:
    return [
        str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for item in document.ContentSequence
        if item.ValueType in ("IMAGE", "COMPOSITE")
    ]


def test_key_objects_are_evidence_located_images_and_the_largest_slice() -> None:
    result = result_with_findings()
    point = Location(LocationKind.POINT, (1.0, 1.0), UIDS[12])
    found = replace(result.findings[0], evidence=(UIDS[7], UIDS[3], UIDS[7]), locations=(point,))
    (document,) = rendered(replace(result, findings=(found,)))
    largest = int(mask().sum(axis=(1, 2)).argmax())
    assert document.Modality == "KO"
    assert concept(document) == "113000", "Of Interest"
    assert pointed_at(document) == [UIDS[7], UIDS[3], UIDS[12], UIDS[largest]]


def test_the_evidence_lists_what_is_pointed_at_and_nothing_else() -> None:
    (document,) = rendered(result_with_findings())
    (study,) = document.CurrentRequestedProcedureEvidenceSequence
    listed = [
        item.ReferencedSOPInstanceUID
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]
    assert listed == pointed_at(document)
    assert document.PatientName == headers()[0].PatientName


def test_pointing_at_another_image_than_the_first_changes_neither() -> None:
    result = result_with_findings()
    found = replace(result.findings[0], evidence=(UIDS[3], UIDS[0]), locations=(), segment_number=None)
    result = replace(result, findings=(found,))
    about = material(result)
    for _ in range(2):
        (document,) = (read(item) for item in render(result, about, Plan(KOS_ONLY)))
        assert pointed_at(document) == [UIDS[3], UIDS[0]]
    assert [str(source.SOPInstanceUID) for source in about.sources] == UIDS


def test_it_points_at_what_was_made() -> None:
    *made, document = rendered(result_with_findings(), frozenset({ObjectKind.SEG, ObjectKind.SR, ObjectKind.KOS}))
    assert [dataset.Modality for dataset in made] == ["SEG", "SR"]
    assert pointed_at(document)[-2:] == [dataset.SOPInstanceUID for dataset in made]


def test_its_description_is_in_the_language_of_the_destination() -> None:
    (document,) = rendered(result_with_findings(), language=Language.UKRAINIAN)
    assert named(document, "121049")[0].ConceptCodeSequence[0].CodeValue == "uk"
    (description,) = named(document, "113012")
    assert str(description.TextValue).startswith("головний мозок\r\nПопередній результат")


def test_nothing_found_and_nothing_made_is_no_key_object_selection() -> None:
    result = result_without_findings()
    assert render(result, material(result, masks=[]), Plan(KOS_ONLY)) == ()
