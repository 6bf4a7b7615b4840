"""Every kind of object but reports, judged by the validators of other people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from consumers.dicom.capture import captures
from consumers.dicom.fractional import fractional
from consumers.dicom.parametric import parametric_maps
from consumers.dicom.presentation import presentation_states
from consumers.dicom.segmentation import segmentation
from schemas.terminology import Language
from tests.consumers.dicom.judges import dcentvfy, dciodvfy, errors
from tests.consumers.dicom.sources import COLUMNS, ROWS, SOURCES, about
from tests.consumers.generated import Case, big_case, generated, nasty_case, nasty_texts

#: What the validator does not know: attributes and terms newer than itself, that PS3.5 6.2 counts characters, and
#: that nobody says whether the part of the body is paired.
_KNOWN = (
    "DeviceUID",
    "UDISequence",
    "Unrecognized defined term",
    "Length invalid for this VR",
    "is only permitted to be empty when actually unknown",
)


def objects(case: Case, language: Language) -> Iterator[tuple[str, Dataset]]:
    result, material = case.result, case.material()
    segments, likely = segmentation(result, material), fractional(result, material)
    if segments is not None:
        yield "seg", segments
    if likely is not None:
        yield "fractional", likely
    yield from (("map", item) for item in parametric_maps(result, material))
    yield from (("state", item) for item in presentation_states(result, material, language))
    yield from (("capture", item) for item in captures(result, material, language)[:2])


def complaints(made: Iterable[tuple[str, Dataset]], folder: Path) -> dict[str, list[str]]:
    """File name → what the validator says, without what it cannot know."""
    paths = []
    for place, (kind, dataset) in enumerate(made):
        paths.append(folder / f"{place}-{kind}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    return {name: left for name, said in dciodvfy(paths).items() if (left := _judgements(said))}


def _judgements(said: Iterable[str]) -> list[str]:
    lines = [line for line in said if line.startswith(("Error", "Warning"))]
    return [line for line in lines if not any(word in line for word in _KNOWN)]


@pytest.mark.dicom3tools
@pytest.mark.parametrize("seed", [0, 4, 11, 17])
def test_dciodvfy_finds_no_error_in_generated_results(seed: int, tmp_path: Path) -> None:
    assert complaints(objects(generated(seed), list(Language)[seed % 2]), tmp_path) == {}


@pytest.mark.dicom3tools
def test_dciodvfy_finds_no_error_in_texts_of_every_sort(tmp_path: Path) -> None:
    made = []
    for number, text in enumerate(nasty_texts()):
        case = nasty_case(text)
        result, material = case.result, case.material()
        states = presentation_states(result, material, Language.UKRAINIAN)
        page = captures(replace(result, findings=()), material, Language.UKRAINIAN)[0]
        made += [(f"text-{number}", dataset) for dataset in (*states, page)]
    assert complaints(made, tmp_path) == {}


@pytest.mark.dicom3tools
def test_dciodvfy_finds_no_error_in_what_is_drawn_on_sources_of_every_sort(tmp_path: Path) -> None:
    made = []
    for name, source in SOURCES.items():
        result, material = about(source(), frame=2 if name == "frames" else None)
        states = presentation_states(result, material, Language.UKRAINIAN)
        made += [(name, item) for item in (*states, *captures(result, material, Language.UKRAINIAN))]
    result, material = about(SOURCES["gray"]())
    result = replace(result, findings=(replace(result.findings[0], segment_number=1),))
    segments = segmentation(result, replace(material, masks=(np.ones((1, ROWS, COLUMNS), dtype=bool),)))
    assert segments is not None
    made.append(("radiograph", segments))
    assert len(made) == 3 * len(SOURCES) + 1
    assert complaints(made, tmp_path) == {}


@pytest.mark.dicom3tools
def test_dciodvfy_finds_no_error_in_five_hundred_findings(tmp_path: Path) -> None:
    case = big_case()
    states = presentation_states(case.result, case.material(), Language.UKRAINIAN)
    assert complaints([("state", dataset) for dataset in states], tmp_path) == {}


@pytest.mark.dicom3tools
def test_dcentvfy_finds_one_patient_study_and_series_in_sources_and_objects(tmp_path: Path) -> None:
    case = generated(0)
    paths = [Path(header.filename) for header in case.headers]
    for place, (_, dataset) in enumerate(objects(case, Language.ENGLISH)):
        paths.append(tmp_path / f"{place}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    assert errors(dcentvfy(paths)) == []
