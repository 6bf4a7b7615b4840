"""Workitem that somebody creates, in DICOM JSON or XML → order, where it is for us. Pure.

It is for us when its workitem code, its station name or its station class names a model: by our coding scheme, or
by a value that a worker's model has. Everything else that is refused says why.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

import orjson
from pydicom import Dataset
from pydicom.datadict import dictionary_VM, dictionary_VR

from dashboards.orders.order import Order, Refused
from dashboards.orders.request import order_from
from dashboards.ups.model import Json
from dashboards.ups.native_xml import from_xml
from dashboards.ups.workitem import LABEL, SCHEME, UPS_PUSH
from schemas.topics import Priority

#: PS3.5 9.1.
_UID: Final = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")
_CODES: Final = (
    "ScheduledWorkitemCodeSequence",
    "ScheduledStationNameCodeSequence",
    "ScheduledStationClassCodeSequence",
)
PRIORITIES: Final = {
    "HIGH": Priority.P2_URGENT,
    "MEDIUM": Priority.P3_NORMAL,
    "LOW": Priority.P4_ROUTINE,
}
_SAME: Final[Mapping[int, int]] = {}
#: Attributes of a new workitem that make the order.
_READ: Final = frozenset(
    (
        *(
            "SpecificCharacterSet",
            "SOPClassUID",
            "SOPInstanceUID",
            "AffectedSOPClassUID",
            "AffectedSOPInstanceUID",
        ),
        *("ProcedureStepState", "ScheduledProcedureStepPriority", "ScheduledWorkitemCodeSequence"),
        *("InputInformationSequence", "ScheduledProcessingParametersSequence"),
    )
)
_READINESS: Final = ("READY", "INCOMPLETE", "UNAVAILABLE")
#: Processing parameter → field of the request.
_PARAMETERS: Final = {
    "confidence-threshold": ("parameters", "confidence_threshold"),
    "output-format": ("parameters", "output_formats"),
    "include-heatmaps": ("parameters", "include_heatmaps"),
    "indication": ("clinical_context", "indication"),
    "callback-url": (None, "callback_url"),
    "model-version": (None, "model_version"),
}


def warning(*sentences: str) -> dict[str, str]:
    """Warning header field of these sentences (PS3.18 8.4.2, RFC 7234 5.5); none: no field."""
    texts = [re.sub(r'["\\\\]', "'", re.sub(r"[^\x20-\x7e]", "?", text))[:500] for text in sentences]
    return {"warning": ", ".join(f'299 {LABEL} "{text}"' for text in texts)} if texts else {}


class WorkitemRefused(Refused):
    """A request on a workitem that is not served; the reason is in the Warning header too (PS3.18 11)."""

    def headers(self) -> dict[str, str]:
        """Header fields of the answer."""
        return super().headers() | warning(self.detail)


def as_refused_workitem(refused: Refused, statuses: Mapping[int, int] = _SAME) -> WorkitemRefused:
    """Refusal of an order or a command as that of a request on a workitem; ``statuses`` are those that change."""
    if refused.field == "idempotency-key":
        return WorkitemRefused(409, "a workitem has this UID already, with another content: take another UID")
    return WorkitemRefused(
        statuses.get(refused.status, refused.status), refused.detail, refused.retry_after_s, refused.field
    )


def parsed(body: bytes, *, xml: bool = False) -> Dataset:
    """Data set of a request: one in XML, or in DICOM JSON, alone or as the only one of a list (PS3.18 F).

    Raises
    ------
    WorkitemRefused
        It is none.
    """
    try:
        content = from_xml(body) if xml else orjson.loads(body)
        item = Dataset.from_json(content[0] if isinstance(content, list) and len(content) == 1 else content)
        for element in item.iterall():
            _ = element.value
    except Exception as error:
        # the library raises whatever a wrong value happens to meet
        raise WorkitemRefused(
            400,
            f"the body is no data set in DICOM {'XML' if xml else 'JSON'} ({type(error).__name__}): correct it",
        ) from error
    _check_shapes(item)
    return item


def _check_shapes(item: Dataset) -> None:
    """Refuse a text where a sequence belongs, an object that is no name, and several values instead of one."""
    for element in item.iterall():
        if not element.keyword:
            continue
        is_sequence = dictionary_VR(element.tag) == "SQ"
        if (element.VR == "SQ") != is_sequence:
            raise WorkitemRefused(400, f"{element.keyword} must be {'a' if is_sequence else 'no'} sequence")
        if is_sequence:
            continue
        if element.VM > 1 and dictionary_VM(element.tag) == "1":
            raise WorkitemRefused(400, f"{element.keyword} must have one value")
        if any(isinstance(value, dict) for value in (element.value if element.VM > 1 else [element.value])):
            raise WorkitemRefused(400, f"{element.keyword} must be text or a number")


def check_uid(uid: str) -> str:
    """Return a UID that is one.

    Raises
    ------
    WorkitemRefused
        It is none.
    """
    if len(uid) > 64 or not _UID.fullmatch(uid):
        raise WorkitemRefused(400, f"{uid[:64]!r} is no UID: correct it")
    return uid


def order_of_workitem(item: Dataset, models: Collection[str]) -> Order:
    """Order of a new workitem.

    Parameters
    ----------
    item
        The workitem.
    models
        Names of the models that workers have.

    Raises
    ------
    WorkitemRefused
        It is not for us, or not as PS3.4 CC.2.5.1 has it.
    Refused
        A value is wrong.
    """
    if item.get("ProcedureStepState") != "SCHEDULED":
        raise WorkitemRefused(400, "Procedure Step State (0074,1000) of a new workitem must be SCHEDULED")
    if item.get("TransactionUID"):
        raise WorkitemRefused(400, "Transaction UID (0008,1195) of a new workitem must be empty")
    given = item.get("ScheduledProcedureStepPriority")
    if given not in PRIORITIES:
        raise WorkitemRefused(400, "Scheduled Procedure Step Priority (0074,1200) must be HIGH, MEDIUM or LOW")
    if item.get("SOPClassUID", UPS_PUSH) not in (UPS_PUSH, "", None):
        raise WorkitemRefused(400, f"SOP Class UID (0008,0016) of a workitem must be {UPS_PUSH}, or be left out")
    readiness = item.get("InputReadinessState") or "READY"
    if readiness not in _READINESS:
        raise WorkitemRefused(400, f"Input Readiness State (0040,4041) must be one of {', '.join(_READINESS)}")
    if readiness == "UNAVAILABLE":
        raise WorkitemRefused(
            400, "Input Readiness State (0040,4041) is UNAVAILABLE: create it once they are there"
        )
    content: dict[str, Any] = {"model": _model(item, models), "priority": PRIORITIES[given]}
    studies, series = _inputs(item)
    if len(studies) > 1:
        raise WorkitemRefused(400, "Input Information Sequence (0040,4021) names several studies: one at a time")
    content["study_instance_uid"] = next(iter(studies), None)
    content["series_instance_uids"] = series
    for name, value in _parameters(item):
        part, field = _PARAMETERS[name]
        into = content if part is None else content.setdefault(part, {})
        if field == "output_formats":
            into.setdefault(field, []).append(value)
        else:
            into[field] = value
    return order_from(content, "ups")


def not_kept(item: Dataset, kept: Json) -> list[str]:
    """Attributes of a new workitem that are otherwise in the one that was made of it, by keyword.

    Inputs are compared by their images, where those are known; what was read as an order is as it was asked for.
    """
    ours = Dataset.from_json(kept)
    others = [
        element.keyword or str(element.tag)
        for element in item
        if not element.is_empty and element.keyword not in _READ and ours.get_item(element.tag) != element
    ]
    known = _images(ours)
    if any(images != known[series] for series, images in _images(item).items() if images and known.get(series)):
        others.append("InputInformationSequence")
    return others


def _images(item: Dataset) -> dict[str, set[str]]:
    """Images of each series of the input."""
    found: dict[str, set[str]] = {}
    for one in item.get("InputInformationSequence") or []:
        images = {str(image.get("ReferencedSOPInstanceUID")) for image in one.get("ReferencedSOPSequence") or []}
        found.setdefault(str(one.get("SeriesInstanceUID")), set()).update(images)
    return found


def upgrade_of(item: Dataset) -> Priority:
    """The more urgent class that an update asks for; nothing else of a workitem may be changed.

    Raises
    ------
    WorkitemRefused
        It asks for something else.
    """
    allowed = {"ScheduledProcedureStepPriority", "SpecificCharacterSet", "TransactionUID"}
    others = [element.keyword or str(element.tag) for element in item if element.keyword not in allowed]
    if others:
        raise WorkitemRefused(
            400,
            f"only Scheduled Procedure Step Priority (0074,1200) may be changed, not {', '.join(others)[:200]}",
        )
    given = item.get("ScheduledProcedureStepPriority")
    if given not in PRIORITIES:
        raise WorkitemRefused(400, "Scheduled Procedure Step Priority (0074,1200) must be HIGH, MEDIUM or LOW")
    return PRIORITIES[given]


def _model(item: Dataset, models: Collection[str]) -> str:
    named = list[str]()
    for keyword in _CODES:
        for code in item.get(keyword) or []:
            value = str(code.get("CodeValue") or code.get("LongCodeValue") or "")
            ours = code.get("CodingSchemeDesignator") == SCHEME and value != LABEL
            if value in models or (ours and keyword == _CODES[0]):
                named.append(value)
    if len(set(named)) != 1:
        said = "names several models" if named else "names no model"
        raise WorkitemRefused(
            400,
            f"the workitem {said}: give Scheduled Workitem Code (0040,4018) one of {SCHEME} "
            f"({', '.join(sorted(models)) or 'no worker has one now'}); workitems for others are not kept here",
        )
    return named[0]


def _inputs(item: Dataset) -> tuple[set[str], list[str]]:
    studies, series = set[str](), list[str]()
    for one in item.get("InputInformationSequence") or []:
        if one.get("StudyInstanceUID"):
            studies.add(str(one.StudyInstanceUID))
        if one.get("SeriesInstanceUID"):
            series.append(str(one.SeriesInstanceUID))
    if not studies and not series:
        raise WorkitemRefused(
            400, "Input Information Sequence (0040,4021) names no study: add an item with its UID"
        )
    return studies, series


def _parameters(item: Dataset) -> list[tuple[str, Any]]:
    found = list[tuple[str, Any]]()
    for one in item.get("ScheduledProcessingParametersSequence") or []:
        concepts = one.get("ConceptNameCodeSequence") or [Dataset()]
        name = str(concepts[0].get("CodeValue") or concepts[0].get("LongCodeValue") or "")
        if name not in _PARAMETERS:
            raise WorkitemRefused(
                400, f"the processing parameter {name[:64]!r} is not known here: {', '.join(_PARAMETERS)} are"
            )
        if one.get("NumericValue") is not None:
            found.append((name, _number(one.NumericValue)))
        else:
            text = str(one.get("TextValue") or "")
            found.append((name, text == "true" if name == "include-heatmaps" else text))
    return found


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise WorkitemRefused(
            400, "Numeric Value (0040,A30A) of a processing parameter must be a number"
        ) from error
