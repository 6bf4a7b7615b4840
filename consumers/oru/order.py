"""Result and header → OBR, the report that the observations belong to (HL7 2.5.1 4.5.3). Pure."""

from __future__ import annotations

import re
from typing import Final

from pydicom import Dataset

from consumers.oru import status
from consumers.oru.patient import first_item, is_date, provider, text_of
from producers.hl7.build import Field, Value, segment
from producers.hl7.values import timestamp
from schemas.events import Adjudication, Code, InferenceResult
from schemas.terminology import Language, display

_IMAGING_STUDY: Final = Code("18748-4", "LN", "Diagnostic imaging study")
_RADIOLOGY: Final = "RAD"
#: Coding schemes that PS3.16 table 8-1 and HL7 table 0396 name differently; all others are named alike.
_SYSTEMS: Final = {"UMLS": "UML"}
_TIME: Final = re.compile(r"([01]\d|2[0-3])([0-5]\d)?([0-5]\d)?(?:\.(\d{1,6}))?", re.ASCII)
_OFFSET: Final = re.compile(r"[+-](?:0\d|1[0-4])[0-5]\d", re.ASCII)


def coded(code: Code, language: Language) -> Value:
    """CE of a code; its text is for a person. Table 0125 of 2.5.1 has no CWE, which begins like a CE."""
    return (code.value, display(code, language), _SYSTEMS.get(code.scheme, code.scheme))


def obr(
    result: InferenceResult,
    header: Dataset,
    application: str,
    language: Language,
    verdict: Adjudication | None = None,
) -> str:
    """Observation request.

    Parameters
    ----------
    result
        What is reported, as it stands.
    header
        Attributes of one source instance.
    application
        Namespace of the filler order number.
    language
        Of texts.
    verdict
        The latest, if any.
    """
    request = first_item(header, "RequestAttributesSequence")
    placer = text_of(header, "PlacerOrderNumberImagingServiceRequest") or text_of(
        request, "PlacerOrderNumberImagingServiceRequest"
    )
    reported = status.of_report(result)
    judged = verdict is not None and reported in (status.FINAL, status.CORRECTED)
    fields: dict[int, Field] = {
        1: "1",
        2: placer,
        3: (status.filler_order_number(result.task_id), application),
        4: coded(_procedure(header, request), language),
        7: study_time(header),
        16: provider(text_of(header, "RequestingPhysician")),
        18: result.accession_number or text_of(header, "AccessionNumber"),
        19: text_of(header, "RequestedProcedureID") or text_of(request, "RequestedProcedureID"),
        20: text_of(request, "ScheduledProcedureStepID"),
        22: timestamp(verdict.occurred_at if verdict else result.occurred_at),
        24: _RADIOLOGY,
        25: reported,
        32: ((verdict.reviewer,),) if verdict is not None and judged else None,
    }
    return segment("OBR", fields)


def study_time(header: Dataset) -> str | None:
    """TS of a study's begin; ``None`` where the header has no date."""
    date = text_of(header, "StudyDate")
    if not is_date(date):
        return None
    time = re.fullmatch(_TIME, text_of(header, "StudyTime").replace(":", ""))
    if time is None:
        return date
    hour, minute, second, fraction = time.groups()
    clock = f"{hour}{minute or '00'}{second or ''}" + (f".{fraction[:4]}" if second and fraction else "")
    offset = text_of(header, "TimezoneOffsetFromUTC")
    return date + clock + (offset if _OFFSET.fullmatch(offset) else "")


def _procedure(header: Dataset, request: Dataset) -> Code:
    """Code of the study's own procedure, else LOINC's of any imaging study."""
    for holder, keyword in (
        (header, "ProcedureCodeSequence"),
        (header, "RequestedProcedureCodeSequence"),
        (request, "RequestedProcedureCodeSequence"),
    ):
        item = first_item(holder, keyword)
        value = text_of(item, "CodeValue") or text_of(item, "LongCodeValue")
        scheme = text_of(item, "CodingSchemeDesignator")
        if value and scheme:
            return Code(value, scheme, text_of(item, "CodeMeaning"))
    return _IMAGING_STUDY
