"""Objects of every kind, made of fifty results, judged by validators of other people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from consumers.dicom.material import Mask
from consumers.dicom.plan import PRESETS, ObjectKind, Plan
from consumers.dicom.render import RenderedObject, render
from schemas.events import InferenceResult
from schemas.terminology import Language
from tests.consumers.dicom.judges import (
    dcentvfy,
    dciodvfy,
    dsrdump,
    errors,
    errors_of_own_template,
    pixelmed,
)
from tests.consumers.generated import Case, generated, nasty_case, nasty_texts
from tests.consumers.results import SERIES, material, result_with_findings, result_without_findings

pytestmark = pytest.mark.integration

RESULTS = 50

SEG = "1.2.840.10008.5.1.4.1.1.66.4"
SC = "1.2.840.10008.5.1.4.1.1.7"
GSPS = "1.2.840.10008.5.1.4.1.1.11.1"
PM = "1.2.840.10008.5.1.4.1.1.30"
SR_2D = "1.2.840.10008.5.1.4.1.1.88.33"
SR = "1.2.840.10008.5.1.4.1.1.88.34"
KOS = "1.2.840.10008.5.1.4.1.1.88.59"


@dataclass(frozen=True)
class Stored:
    """One object as a file."""

    seed: int
    sop_class_uid: str
    path: Path


def stored(objects: Sequence[RenderedObject], seed: int, folder: Path) -> list[Stored]:
    found = []
    for number, item in enumerate(objects):
        path = folder / f"{seed:03d}-{number:02d}-{item.sop_class_uid}.dcm"
        path.write_bytes(item.data)
        found.append(Stored(seed, item.sop_class_uid, path))
    return found


def in_turn(seed: int) -> Language:
    return Language.UKRAINIAN if seed % 2 else Language.ENGLISH


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> list[Stored]:
    """Every kind of object of fifty results, in both languages."""
    folder = tmp_path_factory.mktemp("objects")
    return [
        item
        for seed in range(RESULTS)
        for item in stored(objects_of(generated(seed), PRESETS["all"], in_turn(seed)), seed, folder)
    ]


def objects_of(
    case: Case, kinds: frozenset[ObjectKind], language: Language = Language.ENGLISH
) -> tuple[RenderedObject, ...]:
    return render(case.result, case.material(), Plan(kinds, language))


def test_fifty_results_make_objects_of_every_kind(everything: list[Stored]) -> None:
    assert {item.sop_class_uid for item in everything} == {SEG, SC, GSPS, PM, SR_2D, SR, KOS}
    assert {item.seed for item in everything if item.sop_class_uid == SR} == set(range(RESULTS))


@pytest.mark.dicom3tools
def test_dciodvfy_finds_no_error_in_any_object(everything: list[Stored]) -> None:
    said = dciodvfy([item.path for item in everything])
    assert len(said) == len(everything)
    assert not {name: errors(lines) for name, lines in said.items() if errors(lines)}


@pytest.mark.dicom3tools
def test_dciodvfy_warns_of_nothing_in_reports_and_key_objects_but_what_is_newer_than_it(
    everything: list[Stored],
) -> None:
    said = dciodvfy(
        [item.path for item in everything if item.sop_class_uid in (SR, SR_2D, KOS) and item.seed < 10]
    )
    # Device UID (0018,1002) and UDI came into Contributing Equipment after this release of the tool, and private
    # coding schemes are unknown to it: ours, and one of the generated results.
    known = ("DeviceUID", "UDISequence", "99SCANSTREAM", "99EXAMPLE", "RADLEX")
    warned = [line for lines in said.values() for line in lines if line.startswith("Warning")]
    assert not [line for line in warned if not any(word in line for word in known)]


@pytest.mark.dicom3tools
def test_dcentvfy_finds_one_patient_and_study_in_sources_and_results(everything: list[Stored]) -> None:
    sources = sorted(SERIES.glob("*.dcm"))
    for seed in (0, 1, 4):
        said = dcentvfy([*sources, *(item.path for item in everything if item.seed == seed)])
        assert not [line for line in said if "Error" in line]


@pytest.mark.dcmtk
def test_dsrdump_reads_every_report_and_finds_its_letters(everything: list[Stored]) -> None:
    reports = [item for item in everything if item.sop_class_uid in (SR, SR_2D, KOS)]
    assert dsrdump(item.path for item in reports).count("Imaging Measurement Report") == 2 * RESULTS
    ukrainian = dsrdump(item.path for item in reports if item.seed % 2)
    assert "не підтверджений лікарем-радіологом" in ukrainian
    assert '(uk,RFC5646,"Ukrainian")' in ukrainian


def reports_of_one_template(folder: Path) -> list[Path]:
    """Reports whose groups are all of one template, or of two that the validator does not confuse."""
    with_segment = result_with_findings()
    contour = next(
        location
        for seed in range(RESULTS)
        for found in generated(seed).result.findings
        for location in found.locations
        if location.kind == "contour"
    )
    (found,) = with_segment.findings
    with_contour = replace(with_segment, findings=(replace(found, segment_number=None, locations=(contour,)),))
    without_place = replace(with_segment, findings=(replace(found, segment_number=None),))
    cases: list[tuple[InferenceResult, list[Mask] | None]] = [
        (with_segment, None),
        (with_contour, []),
        (without_place, []),
        (result_without_findings(), []),
    ]
    return [
        stored(render(result, material(result, masks=masks), Plan())[-1:], number, folder)[0].path
        for number, (result, masks) in enumerate(cases)
    ]


@pytest.mark.pixelmed
def test_pixelmed_finds_no_error_in_reports(everything: list[Stored], tmp_path: Path) -> None:
    # Each report takes it seconds: a few, in turn as one SOP class and as the other.
    small = [seed for seed in range(RESULTS) if 1 <= len(generated(seed).result.findings) <= 2][:4]
    generated_ones = [
        item.path
        for place, seed in enumerate(small)
        for item in everything
        if item.seed == seed and item.sop_class_uid == (SR, SR_2D)[place % 2]
    ]
    plain = reports_of_one_template(tmp_path)
    said = pixelmed([*plain, *generated_ones])
    assert len(said) == 8
    for path, lines in said.items():
        assert any("Found Root Template TID_1500" in line for line in lines)
        assert "IOD validation complete" in lines
        assert not errors_of_own_template(lines, path), path.name
    assert not [line for path in plain for line in errors(said[path])]


@pytest.mark.dicom3tools
@pytest.mark.dcmtk
def test_no_text_makes_an_object_invalid(tmp_path: Path) -> None:
    kinds = PRESETS["all"] - {ObjectKind.SC, ObjectKind.FRACTIONAL, ObjectKind.PM}
    made = [
        item
        for number, text in enumerate(nasty_texts())
        for item in stored(objects_of(nasty_case(text), kinds, in_turn(number)), number, tmp_path)
    ]
    said = dciodvfy([item.path for item in made])
    assert not {name: errors(lines) for name, lines in said.items() if errors(lines)}
    assert dsrdump(item.path for item in made if item.sop_class_uid == SR)
