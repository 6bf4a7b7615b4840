"""Inference task → DICOM workitem (UPS, PS3.3 B.26). Pure.

::

    queued for the first time             SCHEDULED
    begun, waiting for its next attempt   IN PROGRESS, with what it is at and the percentage
    done, objects not listed yet          IN PROGRESS, 100 %
    done, and they are                    COMPLETED
    failed or cancelled                   CANCELED, with reason and code

A workitem has no patient: what knows of tasks knows of no patients, so those attributes are empty (type 2). The
Transaction UID is never told, because it is the lock of the performer (PS3.4 CC.1.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from pydicom import Dataset

from dashboards.live.records import TaskView
from dashboards.ups.identity import workitem_uid
from dashboards.ups.outputs import is_told, output_information, reference
from schemas.events import Code, SeriesContent, TaskState
from schemas.topics import Priority

#: UPS Push SOP Class, under which every workitem is stored (PS3.4 CC.3).
UPS_PUSH: Final = "1.2.840.10008.5.1.4.34.6.1"
#: Coding scheme of names of models, nodes and parameters.
SCHEME: Final = "99SCANSTREAM"
LABEL: Final = "scanstream"

PRIORITIES: Final = {
    Priority.P1_EMERGENCY: "HIGH",
    Priority.P2_URGENT: "HIGH",
    Priority.P3_NORMAL: "MEDIUM",
    Priority.P4_ROUTINE: "LOW",
}
_FAILED: Final = Code("110501", "DCM", "Equipment failure")
_CANCELLED: Final = Code("110513", "DCM", "Discontinued for unspecified reason")
_WAITS: Final = frozenset({TaskState.QUEUED, TaskState.RETRY_WAIT})


class State(StrEnum):
    """Procedure Step State (0074,1000)."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"


def state_of(task: TaskView, now: datetime) -> State:
    """State of the workitem of a task."""
    if task.state in (TaskState.FAILED, TaskState.CANCELLED):
        return State.CANCELED
    if task.state is TaskState.COMPLETED:
        return State.COMPLETED if is_told(task, now) else State.IN_PROGRESS
    return State.IN_PROGRESS if _begun(task) is not None or task.state not in _WAITS else State.SCHEDULED


def workitem(
    task: TaskView, now: datetime, series: Sequence[SeriesContent] = (), expected: datetime | None = None
) -> Dataset:
    """Workitem of a task.

    Parameters
    ----------
    task
        What is known of it.
    now
        Time, UTC.
    series
        Series of the task with their images, where they are at hand.
    expected
        When it is likely to be done.
    """
    state = state_of(task, now)
    item = Dataset()
    item.SOPClassUID = UPS_PUSH
    item.SOPInstanceUID = workitem_uid(task)
    item.ProcedureStepState = state.value
    item.ScheduledProcedureStepPriority = PRIORITIES[task.priority]
    item.ScheduledProcedureStepModificationDateTime = dt(task.updated_at)
    item.ProcedureStepLabel = f"AI {task.model_name}"[:64]
    item.WorklistLabel = LABEL
    item.ScheduledProcedureStepStartDateTime = dt(task.created_at)
    if expected is not None:
        item.ExpectedCompletionDateTime = dt(expected)
    item.ScheduledStationNameCodeSequence = [_code_item(Code(LABEL, SCHEME, LABEL))]
    item.ScheduledStationClassCodeSequence = []
    item.ScheduledStationGeographicLocationCodeSequence = []
    item.ScheduledWorkitemCodeSequence = [_model_item(task)]
    item.ScheduledProcessingParametersSequence = _parameters(task)
    item.InputReadinessState = "INCOMPLETE" if task.asked is not None and task.asked.partial else "READY"
    item.InputInformationSequence = _inputs(task, series)
    _add_nobody(item)
    _add_request(item, task)
    item.ProcedureStepProgressInformationSequence = [_progress(task, state)]
    if state is not State.SCHEDULED:
        item.UnifiedProcedureStepPerformedProcedureSequence = [_performed(task, state)]
    return item


def _begun(task: TaskView) -> datetime | None:
    begun = [one.at for one in task.moments if one.name == TaskState.PREPROCESSING.value]
    return min(begun, default=None)


def _progress(task: TaskView, state: State) -> Dataset:
    item = Dataset()
    item.ProcedureStepProgress = str(100 if state is State.COMPLETED else task.progress)
    text = task.state.value if task.reason is None else f"{task.state.value}: {task.reason}"
    if task.held is not None and not task.finished:
        text = "held until somebody releases it"
    item.ProcedureStepProgressDescription = text[:1024]
    if state is State.CANCELED:
        failed = task.state is TaskState.FAILED
        said = task.cancelled.reason if task.cancelled is not None else None
        item.ProcedureStepCancellationDateTime = dt(task.updated_at)
        item.ReasonForCancellation = (task.reason or said or task.state.value)[:10240]
        item.ProcedureStepDiscontinuationReasonCodeSequence = [_code_item(_FAILED if failed else _CANCELLED)]
    return item


def _performed(task: TaskView, state: State) -> Dataset:
    item = Dataset()
    node = task.node or "unknown"
    item.PerformedStationNameCodeSequence = [_code_item(Code(node[:16], SCHEME, node[:64]))]
    item.PerformedStationClassCodeSequence = []
    item.PerformedStationGeographicLocationCodeSequence = []
    item.PerformedWorkitemCodeSequence = [_model_item(task)]
    item.PerformedProcedureStepStartDateTime = dt(_begun(task) or task.created_at)
    item.OutputInformationSequence = output_information(task)
    if state in (State.COMPLETED, State.CANCELED):
        item.PerformedProcedureStepEndDateTime = dt(task.updated_at)
    return item


def _inputs(task: TaskView, series: Sequence[SeriesContent]) -> list[Dataset]:
    asked = task.asked
    if asked is None:
        return []
    content = {one.series_instance_uid: one for one in series}
    found = []
    for uid in asked.series_instance_uids:
        item = Dataset()
        item.TypeOfInstances = "DICOM"
        item.StudyInstanceUID = task.study_instance_uid
        item.SeriesInstanceUID = uid
        one = content.get(uid)
        images = [] if one is None else [reference(one.sop_class_uid, image) for image in one.sop_instance_uids]
        item.ReferencedSOPSequence = images
        item.WADORSRetrievalSequence = [Dataset()]
        item.WADORSRetrievalSequence[0].RetrieveURL = f"{asked.retrieve_url}/series/{uid}"
        found.append(item)
    return found


def _parameters(task: TaskView) -> list[Dataset]:
    given = None if task.asked is None else task.asked.parameters
    if given is None:
        return []
    pairs = [("output-format", one) for one in given.output_formats]
    pairs.append(("include-heatmaps", "true" if given.include_heatmaps else "false"))
    found = [_parameter(name, value) for name, value in pairs]
    if given.confidence_threshold is not None:
        item = _parameter("confidence-threshold", None)
        item.NumericValue = f"{given.confidence_threshold:.6g}"
        item.MeasurementUnitsCodeSequence = [_code_item(Code("1", "UCUM", "no units"))]
        found.append(item)
    return found


def _parameter(name: str, text: str | None) -> Dataset:
    """Content item (PS3.3 table 10-2)."""
    item = Dataset()
    item.ValueType = "NUMERIC" if text is None else "TEXT"
    item.ConceptNameCodeSequence = [long_code(name)]
    if text is not None:
        item.TextValue = text
    return item


def _add_nobody(item: Dataset) -> None:
    for keyword in (
        "PatientName",
        "PatientID",
        "IssuerOfPatientID",
        "PatientBirthDate",
        "PatientSex",
        "AdmissionID",
    ):
        setattr(item, keyword, "")
    item.OtherPatientIDsSequence = []
    item.IssuerOfAdmissionIDSequence = []
    item.AdmittingDiagnosesDescription = ""
    item.AdmittingDiagnosesCodeSequence = []


def _add_request(item: Dataset, task: TaskView) -> None:
    accession = None if task.asked is None else task.asked.accession_number
    item.ReferencedRequestSequence = []
    if accession:
        request = Dataset()
        request.StudyInstanceUID = task.study_instance_uid
        request.AccessionNumber = accession
        request.IssuerOfAccessionNumberSequence = []
        request.PlacerOrderNumberImagingServiceRequest = ""
        request.OrderPlacerIdentifierSequence = []
        request.FillerOrderNumberImagingServiceRequest = ""
        request.OrderFillerIdentifierSequence = []
        request.RequestedProcedureID = ""
        request.RequestedProcedureDescription = ""
        request.RequestedProcedureCodeSequence = []
        item.ReferencedRequestSequence = [request]


def _model_item(task: TaskView) -> Dataset:
    return long_code(task.model_name)


def long_code(name: str) -> Dataset:
    """Code of ours for a name, which may be longer than a Code Value (PS3.3 8.1)."""
    return _code_item(Code(name, SCHEME, name[:64]))


def _code_item(code: Code) -> Dataset:
    item = Dataset()
    if len(code.value) > 16:
        item.LongCodeValue = code.value
    else:
        item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme
    item.CodeMeaning = code.meaning
    return item


def dt(moment: datetime) -> str:
    """Value of VR DT in UTC (PS3.5 6.2)."""
    return moment.astimezone(UTC).strftime("%Y%m%d%H%M%S.%f+0000")
