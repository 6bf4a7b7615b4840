"""Inference task → DICOM workitem (UPS, PS3.3 B.26) in DICOM JSON. Pure.

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
from functools import cache, lru_cache
from typing import Final

from dashboards.live.catalogue import Kind
from dashboards.live.records import TaskView
from dashboards.ups.identity import workitem_uid
from dashboards.ups.model import Json, Value, dataset
from dashboards.ups.outputs import ended_at, is_told, output_information, reference
from schemas.events import Code, SeriesContent, TaskState
from schemas.topics import Priority

#: UPS Push SOP Class, under which every workitem is stored (PS3.4 CC.3).
UPS_PUSH: Final = "1.2.840.10008.5.1.4.34.6.1"
#: Coding scheme of names of models, nodes and parameters.
SCHEME: Final = "99SCANSTREAM"
LABEL: Final = "scanstream"
#: Longest Code Value (0008,0100); what is longer is a Long Code Value (PS3.3 8.1).
SHORT_CODE: Final = 16

PRIORITIES: Final = {
    Priority.P1_EMERGENCY: "HIGH",
    Priority.P2_URGENT: "HIGH",
    Priority.P3_NORMAL: "MEDIUM",
    Priority.P4_ROUTINE: "LOW",
}
_FAILED: Final = Code("110501", "DCM", "Equipment failure")
_CANCELLED: Final = Code("110513", "DCM", "Discontinued for unspecified reason")
_NOBODY: Final[dict[str, Value]] = dict.fromkeys(
    (
        "PatientName",
        "PatientID",
        "IssuerOfPatientID",
        "PatientBirthDate",
        "PatientSex",
        "AdmissionID",
        "OtherPatientIDsSequence",
        "IssuerOfAdmissionIDSequence",
        "AdmittingDiagnosesDescription",
        "AdmittingDiagnosesCodeSequence",
    )
)
_PREPROCESSING: Final = TaskState.PREPROCESSING.value
_WAITS: Final = frozenset({TaskState.QUEUED, TaskState.RETRY_WAIT})


class State(StrEnum):
    """Procedure Step State (0074,1000)."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"


#: State of a task → those that its workitem may have.
STATES: Final = {
    TaskState.QUEUED: (State.SCHEDULED, State.IN_PROGRESS),
    TaskState.PREPROCESSING: (State.IN_PROGRESS,),
    TaskState.INFERRING: (State.IN_PROGRESS,),
    TaskState.POSTPROCESSING: (State.IN_PROGRESS,),
    TaskState.RETRY_WAIT: (State.SCHEDULED, State.IN_PROGRESS),
    TaskState.COMPLETED: (State.IN_PROGRESS, State.COMPLETED),
    TaskState.FAILED: (State.CANCELED,),
    TaskState.CANCELLED: (State.CANCELED,),
}


def state_of(task: TaskView, now: datetime) -> State:
    """State of the workitem of a task."""
    if task.state in (TaskState.FAILED, TaskState.CANCELLED):
        return State.CANCELED
    if task.state is TaskState.COMPLETED:
        return State.COMPLETED if is_told(task, now) else State.IN_PROGRESS
    return State.IN_PROGRESS if _begun(task) is not None or task.state not in _WAITS else State.SCHEDULED


def workitem(
    task: TaskView, now: datetime, series: Sequence[SeriesContent] = (), expected: datetime | None = None
) -> Json:
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
    more: dict[str, Value] = {}
    if expected is not None:
        more["ExpectedCompletionDateTime"] = dt(expected)
    # what was cancelled before anybody began it has nothing that was performed
    if state is not State.SCHEDULED and (state is not State.CANCELED or _begun(task) is not None):
        more["UnifiedProcedureStepPerformedProcedureSequence"] = [_performed(task, state)]
    return dataset(
        SOPClassUID=UPS_PUSH,
        SOPInstanceUID=workitem_uid(task),
        ProcedureStepState=state.value,
        ScheduledProcedureStepPriority=PRIORITIES[task.priority],
        ScheduledProcedureStepModificationDateTime=dt(task.updated_at),
        ProcedureStepLabel=label_of(task),
        WorklistLabel=LABEL,
        ScheduledProcedureStepStartDateTime=dt(task.created_at),
        ScheduledStationNameCodeSequence=[station_name()],
        ScheduledStationClassCodeSequence=[],
        ScheduledStationGeographicLocationCodeSequence=[],
        ScheduledWorkitemCodeSequence=[long_code(task.model_name)],
        ScheduledProcessingParametersSequence=_parameters(task),
        InputReadinessState=readiness_of(task),
        InputInformationSequence=_inputs(task, series),
        ReferencedRequestSequence=_request(task),
        ProcedureStepProgressInformationSequence=[progress_of(task, state)],
        **_NOBODY,
        **more,
    )


def label_of(task: TaskView | Kind) -> str:
    """Procedure Step Label (0074,1204)."""
    return f"AI {task.model_name}"[:64]


@cache
def station_name() -> Json:
    """Whom every workitem is given to."""
    return code_item(Code(LABEL, SCHEME, LABEL))


def readiness_of(task: TaskView) -> str:
    """Input Readiness State (0040,4041)."""
    return "INCOMPLETE" if task.asked is not None and task.asked.partial else "READY"


def progress_of(task: TaskView, state: State) -> Json:
    """Item of Procedure Step Progress Information Sequence (0074,1002)."""
    text = task.state.value if task.reason is None else f"{task.state.value}: {task.reason}"
    if task.held is not None and not task.finished:
        text = "held until somebody releases it"
    more: dict[str, Value] = {}
    if state is State.CANCELED:
        said = task.cancelled.reason if task.cancelled is not None and task.state is TaskState.CANCELLED else None
        more = {
            "ProcedureStepCancellationDateTime": dt(ended_at(task)),
            # the words of whoever asked; the description says by whom
            "ReasonForCancellation": (said or task.reason or task.state.value)[:10240],
            "ProcedureStepDiscontinuationReasonCodeSequence": discontinuation(task),
        }
    return dataset(
        ProcedureStepProgress=100 if state is State.COMPLETED else task.progress,
        ProcedureStepProgressDescription=text[:1024],
        **more,
    )


def discontinuation(task: TaskView) -> list[Json]:
    """Why a workitem is CANCELED, in codes: those of whoever asked for it, where it was asked for with any."""
    if task.state is TaskState.FAILED:
        return [code_item(_FAILED)]
    codes = () if task.cancelled is None else task.cancelled.codes
    return [code_item(code) for code in codes or (_CANCELLED,)]


def _begun(task: TaskView) -> datetime | None:
    begun = [one.at for one in task.moments if one.name == _PREPROCESSING]
    return min(begun, default=None)


def _performed(task: TaskView, state: State) -> Json:
    node = task.node or "unknown"
    ended = state in (State.COMPLETED, State.CANCELED)
    more: dict[str, Value] = {"PerformedProcedureStepEndDateTime": dt(ended_at(task))} if ended else {}
    return dataset(
        PerformedStationNameCodeSequence=[code_item(Code(node[:16], SCHEME, node[:64]))],
        PerformedStationClassCodeSequence=[],
        PerformedStationGeographicLocationCodeSequence=[],
        PerformedWorkitemCodeSequence=[long_code(task.model_name)],
        PerformedProcedureStepStartDateTime=dt(_begun(task) or task.created_at),
        OutputInformationSequence=output_information(task),
        **more,
    )


def _inputs(task: TaskView, series: Sequence[SeriesContent]) -> list[Json]:
    asked = task.asked
    if asked is None:
        return []
    content = {one.series_instance_uid: one for one in series}
    found = []
    for uid in asked.series_instance_uids:
        one = content.get(uid)
        images = [] if one is None else [reference(one.sop_class_uid, image) for image in one.sop_instance_uids]
        found.append(
            dataset(
                TypeOfInstances="DICOM",
                StudyInstanceUID=task.study_instance_uid,
                SeriesInstanceUID=uid,
                ReferencedSOPSequence=images,
                WADORSRetrievalSequence=[dataset(RetrieveURL=f"{asked.retrieve_url}/series/{uid}")],
            )
        )
    return found


def _parameters(task: TaskView) -> list[Json]:
    given = None if task.asked is None else task.asked.parameters
    if given is None:
        return []
    pairs = [("output-format", one) for one in given.output_formats]
    pairs.append(("include-heatmaps", "true" if given.include_heatmaps else "false"))
    found = [_parameter(name, ValueType="TEXT", TextValue=value) for name, value in pairs]
    if given.confidence_threshold is not None:
        found.append(
            _parameter(
                "confidence-threshold",
                ValueType="NUMERIC",
                NumericValue=float(f"{given.confidence_threshold:.6g}"),
                MeasurementUnitsCodeSequence=[code_item(Code("1", "UCUM", "no units"))],
            )
        )
    return found


def _parameter(name: str, **value: Value) -> Json:
    """Content item (PS3.3 table 10-2)."""
    return dataset(ConceptNameCodeSequence=[long_code(name)], **value)


def _request(task: TaskView) -> list[Json]:
    accession = None if task.asked is None else task.asked.accession_number
    if not accession:
        return []
    return [
        dataset(
            StudyInstanceUID=task.study_instance_uid,
            AccessionNumber=accession,
            IssuerOfAccessionNumberSequence=[],
            PlacerOrderNumberImagingServiceRequest="",
            OrderPlacerIdentifierSequence=[],
            FillerOrderNumberImagingServiceRequest="",
            OrderFillerIdentifierSequence=[],
            RequestedProcedureID="",
            RequestedProcedureDescription="",
            RequestedProcedureCodeSequence=[],
        )
    ]


@lru_cache(1_000)
def long_code(name: str) -> Json:
    """Code of ours for a name, which may be longer than a Code Value (PS3.3 8.1)."""
    return code_item(Code(name, SCHEME, name[:64]))


def code_item(code: Code) -> Json:
    """Item of a code sequence (PS3.3 8.8)."""
    keyword = "LongCodeValue" if len(code.value) > SHORT_CODE else "CodeValue"
    return dataset(**{keyword: code.value}, CodingSchemeDesignator=code.scheme, CodeMeaning=code.meaning)


@lru_cache(20_000)
def dt(moment: datetime) -> str:
    """Value of VR DT in UTC (PS3.5 6.2)."""
    return moment.astimezone(UTC).strftime("%Y%m%d%H%M%S.%f+0000")
