"""Result → OBX, one per value (HL7 2.5.1 7.4.2), and NTE. Pure.

::

    OBX-4        OBX-3                                      OBX-2
                 113014 DCM    the study                    ST    Study Instance UID
                 59776-5 LN    text for a person            FT
                 111001 DCM …  model                        ST
    0.1, 0.2     quality of images or run                   NM
    1            121071 DCM    finding                      CE   with OBX-8 AA critical, A urgent
    1.1, 1.2 …   what is said of it                         CE, NM, ST

OBX-3 and OBX-4 together name a value within a report, so that a later message corrects exactly that one. A number
that NM cannot write is a text; one that is none is said to be missing (OBX-11 X).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from consumers.oru import status, wording
from consumers.oru.order import coded
from producers.hl7.build import Field, Formatted, Value, segment
from producers.hl7.values import number, timestamp
from schemas.events import (
    Adjudication,
    Category,
    Code,
    Finding,
    InferenceResult,
    Laterality,
    Measurement,
    ResultOutcome,
)
from schemas.terminology import Language, Phrase, phrase

#: As IHE Results Distribution spells it, in every language, because receivers compare all of it.
STUDY: Final[Value] = ("113014", "DICOM Study", "DCM")
_FINDING: Final = Code("121071", "DCM", "Finding")
_LOCAL: Final = "99SCANSTREAM"
_NEGATIVE: Final = Code("260385009", "SCT", "Negative")
_ALGORITHM_NAME: Final = Code("111001", "DCM", "Algorithm Name")
_ALGORITHM_VERSION: Final = Code("111003", "DCM", "Algorithm Version")
_CERTAINTY: Final = Code("111012", "DCM", "Certainty of Finding")
_PERCENT: Final = Code("%", "UCUM", "Percent")
_SITE: Final = Code("363698007", "SCT", "Finding Site")
_LATERALITY: Final = Code("272741003", "SCT", "Laterality")
_TRACKING: Final = Code("112040", "DCM", "Tracking Unique Identifier")
_SIDES: Final[dict[Laterality, Code]] = {
    Laterality.LEFT: Code("7771000", "SCT", "Left"),
    Laterality.RIGHT: Code("24028007", "SCT", "Right"),
    Laterality.BILATERAL: Code("51440002", "SCT", "Bilateral"),
}
_FLAGS: Final[dict[Category, str]] = {Category.CRITICAL: "AA", Category.URGENT: "A"}
#: Characters of one FT, which holds 65536 after its escapes.
_LONGEST_TEXT: Final = 20000


@dataclass(frozen=True)
class Row:
    """One OBX before it has its number; ``notes`` follow it as NTE."""

    value_type: str
    name: Value
    value: Field
    status: str
    sub_id: str = ""
    unit: Code | None = None
    flag: str | None = None
    method: Code | None = None
    reviewer: str | None = None
    notes: tuple[str, ...] = field(default=())


def observations(
    result: InferenceResult, observed: str | None, language: Language, verdict: Adjudication | None = None
) -> list[str]:
    """OBX and NTE segments of a result, in their order.

    Parameters
    ----------
    result
        As it stands.
    observed
        TS of the study, for OBX-14.
    language
        Of texts for people; coded values are the same in all.
    verdict
        The latest, whose reviewer and comment belong to one finding.
    """
    segments: list[str] = []
    for index, row in enumerate(_rows(result, language, verdict), 1):
        segments.append(segment("OBX", _fields(index, row, result, observed, language)))
        segments += comments(row.notes)
    return segments


def comments(texts: Iterable[str]) -> list[str]:
    """NTE segments of remarks (2.15.10)."""
    return [
        segment("NTE", {1: str(number), 2: "L", 3: Formatted(text), 4: ("RE", "Remark", "HL70364")})
        for number, text in enumerate(texts, 1)
    ]


def _fields(
    index: int, row: Row, result: InferenceResult, observed: str | None, language: Language
) -> dict[int, Field]:
    model = result.model
    equipment: list[Value] = [(model.device_uid,), (f"{model.name} {model.version}".strip(), model.manufacturer)]
    equipment += [(model.udi,)] if model.udi else []
    detail = row.status == status.ORDER_DETAIL
    return {
        1: str(index),
        2: row.value_type,
        3: row.name,
        4: row.sub_id,
        5: row.value,
        6: coded(row.unit, language) if row.unit else None,
        8: row.flag,
        11: row.status,
        14: None if detail else observed,
        16: (row.reviewer,) if row.reviewer else None,
        17: coded(row.method, language) if row.method else None,
        18: None if detail else equipment,
        19: None if detail else timestamp(result.occurred_at),
    }


def _rows(result: InferenceResult, language: Language, verdict: Adjudication | None) -> Iterator[Row]:
    reported = status.of_report(result)
    yield Row("ST", STUDY, result.study_instance_uid, status.ORDER_DETAIL)
    text_name: Value = ("59776-5", phrase(Phrase.FINDINGS_TITLE, language), "LN")
    parts = _parts(wording.summary(result, language))
    for index, text in enumerate(parts, 1):
        yield Row("FT", text_name, Formatted(text), reported, f"T{index}" if len(parts) > 1 else "")
    yield Row("ST", coded(_ALGORITHM_NAME, language), result.model.name, reported)
    yield Row("ST", coded(_ALGORITHM_VERSION, language), result.model.version, reported)
    for index, measurement in enumerate(result.quality, 1):
        yield replace(_measured(measurement, reported, language), sub_id=f"0.{index}")
    if result.outcome is not ResultOutcome.COULD_NOT_RUN and not result.findings:
        said = status.of_finding(result.decision)
        nothing = Row("CE", coded(_FINDING, language), coded(_NEGATIVE, language), said, "1")
        yield _judged(nothing, result.event_id, verdict)
    for index, finding in enumerate(result.findings, 1):
        head, *details = _about(finding, str(index), language)
        yield _judged(head, finding.finding_id, verdict)
        yield from details


def _judged(row: Row, finding_id: str, verdict: Adjudication | None) -> Row:
    if verdict is None or verdict.finding_id != finding_id:
        return row
    notes = (*row.notes, verdict.comment) if verdict.comment else row.notes
    return replace(row, reviewer=verdict.reviewer, notes=notes)


def _about(finding: Finding, sub_id: str, language: Language) -> Iterator[Row]:
    said = status.of_finding(finding.decision)
    flag = None if said == status.WRONG else _FLAGS.get(finding.category)
    found = coded(finding.code, language)
    yield Row("CE", coded(_FINDING, language), found, said, sub_id, flag=flag, notes=finding.warnings)
    for index, row in enumerate(_details(finding, said, language), 1):
        yield replace(row, sub_id=f"{sub_id}.{index}")


def _details(finding: Finding, said: str, language: Language) -> Iterator[Row]:
    category = (finding.category.value, phrase(wording.CATEGORIES[finding.category], language), _LOCAL)
    yield Row("CE", ("category", phrase(Phrase.CATEGORY, language), _LOCAL), category, said)
    yield Row("ST", coded(_TRACKING, language), finding.tracking_uid, said)
    if finding.probability is not None:
        yield _measured(Measurement(_CERTAINTY, finding.probability * 100, _PERCENT), said, language)
    if finding.site is not None:
        yield Row("CE", coded(_SITE, language), coded(finding.site, language), said)
    if finding.laterality is not None:
        yield Row("CE", coded(_LATERALITY, language), coded(_SIDES[finding.laterality], language), said)
    for item in finding.characteristics:
        yield Row("CE", coded(item.name, language), coded(item.value, language), said)
    for measurement in finding.measurements:
        yield _measured(measurement, said, language)


def _measured(measurement: Measurement, said: str, language: Language) -> Row:
    name, value = coded(measurement.code, language), number(measurement.value)
    row = Row("NM", name, value, said, unit=measurement.unit, method=measurement.method)
    if not math.isfinite(measurement.value):
        return replace(row, status=status.NOT_OBTAINED)
    return row if value is not None else replace(row, value_type="ST", value=str(measurement.value))


def _parts(lines: list[str]) -> list[str]:
    """Lines as few texts that each fit into one FT."""
    parts: list[str] = []
    held: list[str] = []
    for line in lines:
        if held and sum(map(len, held)) + len(line) > _LONGEST_TEXT:
            parts.append("\n".join(held))
            held = []
        held.append(line)
    return [*parts, "\n".join(held)]
