"""Modality Performed Procedure Step (PS3.4 F.7): what may be created and set, and which instances it names. Pure.

Of the attributes, those are demanded without which the step means nothing here (types 1 of table F.7.2-1); what a
modality leaves out besides is its own business. Text and what names the patient are not kept: nobody needs them
here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from pydicom.dataset import Dataset

from producers.dimse.data_sets import EXPLICIT_VR_LITTLE_ENDIAN, Refusal, decode, encode
from producers.store.headers import is_uid
from producers.store.procedure_steps import COMPLETED, DISCONTINUED, IN_PROGRESS, ProcedureStep

SOP_CLASS: Final = "1.2.840.10008.3.1.2.3.3"

# Statuses (PS3.7 C, PS3.4 F.7.2.2.4).
INVALID_ATTRIBUTE_VALUE: Final = 0x0106
PROCESSING_FAILURE: Final = 0x0110
MISSING_ATTRIBUTE: Final = 0x0120
MISSING_ATTRIBUTE_VALUE: Final = 0x0121
#: Error ID: "Performed Procedure Step Object may no longer be updated".
NO_LONGER_UPDATED: Final = 0xA710

_SCHEDULED: Final = "ScheduledStepAttributesSequence"
_SERIES: Final = "PerformedSeriesSequence"
_STATUS: Final = "PerformedProcedureStepStatus"
_TO_CREATE: Final = (
    _SCHEDULED,
    "PerformedProcedureStepID",
    "PerformedStationAETitle",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    _STATUS,
    "Modality",
)
_TO_COMPLETE: Final = ("PerformedProcedureStepEndDate", "PerformedProcedureStepEndTime", _SERIES)
_TEXT: Final = frozenset({"PN", "LO", "SH", "LT", "ST", "UC", "UT", "UN"})
_PATIENT: Final = 0x0010
_CHARACTER_SET: Final = 0x00080005
_INSTANCES: Final = ("ReferencedImageSequence", "ReferencedNonImageCompositeSOPInstanceSequence")


def created(uid: str, attributes: Dataset) -> ProcedureStep:
    """Step of an N-CREATE (PS3.4 F.7.2.1).

    Raises
    ------
    Refusal
        An attribute of type 1 is missing or empty, or the status is not IN PROGRESS.
    """
    _demand(attributes, _TO_CREATE)
    if _status(attributes) != IN_PROGRESS:
        raise Refusal(INVALID_ATTRIBUTE_VALUE, f"a procedure step is created {IN_PROGRESS}")
    studies = []
    for item in attributes.get(_SCHEDULED):
        study = str(item.get("StudyInstanceUID") or "")
        if not study:
            raise Refusal(MISSING_ATTRIBUTE_VALUE, f"{_SCHEDULED} has an item without Study Instance UID")
        if not is_uid(study):
            raise Refusal(INVALID_ATTRIBUTE_VALUE, "Study Instance UID is no UID")
        studies.append(study)
    return _step(uid, attributes, tuple(dict.fromkeys(studies)))


def changed(step: ProcedureStep, attributes: Dataset) -> ProcedureStep:
    """Step after an N-SET (PS3.4 F.7.2.2).

    Raises
    ------
    Refusal
        The step is final, or becomes final without what it must then have.
    """
    if step.status != IN_PROGRESS:
        raise Refusal(
            PROCESSING_FAILURE, "Performed Procedure Step Object may no longer be updated", NO_LONGER_UPDATED
        )
    merged = decode(step.attributes, EXPLICIT_VR_LITTLE_ENDIAN)
    for element in _kept(attributes):
        if element.keyword != _SCHEDULED:  # N-SET may not change what the step is about (table F.7.2-1)
            merged[element.tag] = element
    status = _status(merged)
    if status not in (IN_PROGRESS, COMPLETED, DISCONTINUED):
        raise Refusal(INVALID_ATTRIBUTE_VALUE, f"{_STATUS} must be {IN_PROGRESS}, {COMPLETED} or {DISCONTINUED}")
    if status == COMPLETED:
        _demand(merged, _TO_COMPLETE)
    return _step(step.uid, merged, step.studies)


def _step(uid: str, attributes: Dataset, studies: tuple[str, ...]) -> ProcedureStep:
    return ProcedureStep(
        uid,
        _status(attributes),
        encode(_kept(attributes), EXPLICIT_VR_LITTLE_ENDIAN),
        tuple(dict.fromkeys(_referenced(attributes))),
        studies,
    )


def _kept(attributes: Dataset) -> Dataset:
    """Codes, numbers, dates and UIDs, also of sequences."""
    kept = Dataset()
    for tag in attributes.keys():  # noqa: SIM118 - iterating the data set itself converts every element
        if tag.group == _PATIENT or tag == _CHARACTER_SET:
            continue
        element = attributes[tag]
        if element.VR == "SQ":
            kept.add_new(tag, "SQ", [_kept(item) for item in element.value])
        elif element.VR not in _TEXT:
            kept[tag] = element
    return kept


def _demand(attributes: Dataset, keywords: Iterable[str]) -> None:
    for keyword in keywords:
        if keyword not in attributes:
            raise Refusal(MISSING_ATTRIBUTE, f"{keyword} is missing")
        if not attributes.get(keyword):
            raise Refusal(MISSING_ATTRIBUTE_VALUE, f"{keyword} is empty")


def _status(attributes: Dataset) -> str:
    return str(attributes.get(_STATUS) or "").strip()


def _referenced(attributes: Dataset) -> Iterator[str]:
    """SOP Instance UIDs of the performed series."""
    for series in attributes.get(_SERIES) or ():
        for keyword in _INSTANCES:
            for item in series.get(keyword) or ():
                uid = str(item.get("ReferencedSOPInstanceUID") or "")
                if is_uid(uid):
                    yield uid
