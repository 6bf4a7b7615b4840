"""Workitem as it was told and as it is → event reports (PS3.4 CC.2.4, PS3.18 11.12), in DICOM JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from pydicom import Dataset

from dashboards.ups.search import matches, parse
from dashboards.ups.subscriptions import FILTERED, GLOBAL, Subscription

#: UPS Event SOP Class.
UPS_EVENT: Final = "1.2.840.10008.5.1.4.34.6.4"
_STATE_REPORT: Final = 1
_PROGRESS_REPORT: Final = 3


@dataclass(frozen=True)
class Told:
    """What a subscriber knows of a workitem."""

    state: str
    readiness: str
    progress: str


def is_wanted(item: Dataset, subscriptions: Iterable[Subscription]) -> bool:
    """Whether any subscription is of this workitem."""
    for one in subscriptions:
        if one.workitem in (GLOBAL, item.SOPInstanceUID):
            return True
        if one.workitem == FILTERED and matches(item, parse(parse_qsl(one.filter, keep_blank_values=True))):
            return True
    return False


def told(item: Dataset) -> Told:
    """What a workitem says now."""
    progress = item.ProcedureStepProgressInformationSequence[0]
    said = f"{progress.ProcedureStepProgress} {progress.ProcedureStepProgressDescription}"
    return Told(item.ProcedureStepState, item.InputReadinessState, said)


def reports(item: Dataset, before: Told | None) -> Iterator[dict[str, Any]]:
    """Reports for a subscriber who knows this much: of the state first, then of the progress."""
    now = told(item)
    if before is None or (before.state, before.readiness) != (now.state, now.readiness):
        state = _report(item, _STATE_REPORT)
        state.ProcedureStepState = now.state
        state.InputReadinessState = now.readiness
        if item.ProcedureStepState == "CANCELED":
            progress = item.ProcedureStepProgressInformationSequence[0]
            state.ReasonForCancellation = progress.ReasonForCancellation
            codes = progress.ProcedureStepDiscontinuationReasonCodeSequence
            state.ProcedureStepDiscontinuationReasonCodeSequence = codes
        yield state.to_json_dict()
    if before is not None and before.progress != now.progress and now.state == "IN PROGRESS":
        progress = _report(item, _PROGRESS_REPORT)
        progress.ProcedureStepProgressInformationSequence = item.ProcedureStepProgressInformationSequence
        yield progress.to_json_dict()


def _report(item: Dataset, kind: int) -> Dataset:
    report = Dataset()
    report.AffectedSOPClassUID = UPS_EVENT
    report.AffectedSOPInstanceUID = item.SOPInstanceUID
    report.EventTypeID = kind
    return report
