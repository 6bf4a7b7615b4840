"""Generated results and source headers: with and without identity, accession, findings; any script."""

from __future__ import annotations

from dataclasses import replace

import pydicom.config
from hypothesis import strategies as st
from pydicom import DataElement, Dataset

from schemas.events import Category, Code, Finding, InferenceResult, Measurement, ResultOutcome
from schemas.ids import dicom_uid
from tests.consumers import results

WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co"), exclude_characters="\\"), max_size=40
)
NAMES = st.sampled_from(["Ґудзь^Євгенія", "山田^太郎", "O'Hara^<Ann & Bob>", ""])
CODES = st.sampled_from(
    [
        results.BRAIN,
        results.VOLUME,
        Code("RID28662", "RADLEX", "Attenuation"),
        Code("X1", "99LOCAL", "Eigene Größe"),
    ]
)
UNITS = st.sampled_from([results.MILLILITRE, Code("%", "UCUM", "%"), Code("score", "99LOCAL", "score")])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)


@st.composite
def headers(draw: st.DrawFn, result: InferenceResult) -> Dataset:
    """Header of a source instance of a result."""
    header = Dataset()
    header.StudyInstanceUID = result.study_instance_uid
    header.SeriesInstanceUID = result.series_instance_uid
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    header.PatientName = draw(NAMES)
    header.PatientID = draw(st.sampled_from(["", " ", "12345", "Ж-7 / Ё", "<1>"]))
    header.AccessionNumber = draw(st.sampled_from(["", "A1", "Запит 5"]))
    _put(header, "StudyDate", "DA", draw(st.sampled_from(["", "20261122", "20260230", "2026"])))
    _put(header, "StudyTime", "TM", draw(st.sampled_from(["", "093000", "0930", "235959.123456", "99"])))
    header.StudyDescription = draw(st.sampled_from(["", "МРТ головного мозку", "Head & neck"]))
    header.SeriesNumber = draw(st.sampled_from([None, 0, 7, -1]))
    if draw(st.booleans()):
        _put(header, "TimezoneOffsetFromUTC", "SH", draw(st.sampled_from(["+0200", "-0330", "bad"])))
    if draw(st.booleans()):
        header.Modality = draw(st.sampled_from(["MR", "CT", ""]))
    if draw(st.booleans()):
        header.IssuerOfPatientID = "Лікарня 3"
        item = Dataset()
        item.UniversalEntityID, item.UniversalEntityIDType = "1.2.3.4", draw(st.sampled_from(["ISO", "DNS"]))
        header.IssuerOfPatientIDQualifiersSequence = [item]
    return header


def _put(header: Dataset, keyword: str, vr: str, value: str) -> None:
    """Set a value as it may come from a modality, valid or not."""
    header.add(DataElement(keyword, vr, value, validation_mode=pydicom.config.IGNORE))


@st.composite
def inference_results(draw: st.DrawFn, most_findings: int = 6) -> InferenceResult:
    """Result with any number of findings."""
    base = results.result_with_findings()
    numbers = range(draw(st.integers(0, most_findings)))
    found = tuple(draw(_finding(base.findings[0], number)) for number in numbers)
    return replace(
        base,
        outcome=ResultOutcome.FINDINGS if found else ResultOutcome.NO_FINDINGS,
        findings=found,
        warnings=tuple(draw(st.lists(WORDS.filter(str.strip), max_size=2))),
        limitations=draw(st.none() | WORDS),
        accession_number=draw(st.sampled_from([None, "A9"])),
        sop_instance_uids=base.sop_instance_uids[: draw(st.integers(1, 3))],
    )


@st.composite
def _finding(draw: st.DrawFn, base: Finding, number: int) -> Finding:
    measurement = st.builds(Measurement, CODES, NUMBERS, UNITS)
    measured = draw(st.lists(measurement, max_size=3, unique_by=lambda one: one.code.value))
    return replace(
        base,
        tracking_uid=dicom_uid("tracking", number),
        code=draw(CODES),
        category=draw(st.sampled_from(Category)),
        measurements=tuple(measured),
        probability=draw(st.none() | st.floats(0, 1)),
        site=draw(st.none() | CODES),
        warnings=tuple(draw(st.lists(WORDS.filter(str.strip), max_size=2))),
    )


@st.composite
def cases(draw: st.DrawFn, most_findings: int = 6) -> tuple[InferenceResult, Dataset]:
    """A result and a header of its source."""
    result = draw(inference_results(most_findings))
    return result, draw(headers(result))
