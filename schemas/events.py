"""Frozen Python form of the Avro records in ``schemas/avsc``; a test holds the two against each other.

Times are timezone-aware UTC with millisecond precision. Only the worklist item of ``ClinicalContext`` carries a
patient's name or birth date, and nothing carries pixels or local paths: pixels and masks are referred to by a
claim check (URL, sha256, size).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from schemas.alarms import EscalationAcknowledgement, EscalationStep
from schemas.changelogs import AssemblyState, RelayPosition, SeriesGeometry
from schemas.inference import (
    EligibilityDecision,
    InferenceTask,
    NodeHeartbeat,
    PriorResult,
    TaskCommand,
    TaskStatus,
)
from schemas.topics import Priority
from schemas.values import (
    Artifact,
    BegunTask,
    Category,
    Characteristic,
    ClassLoad,
    Code,
    CommandKind,
    Decision,
    DeliveryStatus,
    EscalationStage,
    HintKind,
    Laterality,
    Location,
    LocationKind,
    Measurement,
    ModelIdentity,
    ModelState,
    NodeState,
    ObjectOutcome,
    Origin,
    PendingNotice,
    PriorReference,
    PriorValue,
    ReadyReason,
    ResultOutcome,
    ScheduledProcedureStep,
    SeriesContent,
    StageTime,
    TaskParameters,
    TaskReference,
    TaskState,
    VersionState,
    WorklistItem,
)

__all__ = [
    "Adjudication",
    "ArrivalHint",
    "Artifact",
    "AssemblyState",
    "AuditEvent",
    "BegunTask",
    "Category",
    "Characteristic",
    "ClassLoad",
    "ClinicalContext",
    "Code",
    "CommandKind",
    "Decision",
    "DeliveryOutcome",
    "DeliveryStatus",
    "EligibilityDecision",
    "EscalationAcknowledgement",
    "EscalationStage",
    "EscalationStep",
    "Event",
    "Finding",
    "HintKind",
    "InferenceResult",
    "InferenceTask",
    "InstanceStored",
    "Laterality",
    "Location",
    "LocationKind",
    "Measurement",
    "ModelIdentity",
    "ModelState",
    "NodeHeartbeat",
    "NodeState",
    "ObjectOutcome",
    "Origin",
    "PendingNotice",
    "PriorReference",
    "PriorResult",
    "PriorValue",
    "Priority",
    "ReadyReason",
    "RelayPosition",
    "ResultOutcome",
    "ScheduledProcedureStep",
    "SeriesContent",
    "SeriesGeometry",
    "StageTime",
    "StudyReady",
    "TaskCommand",
    "TaskParameters",
    "TaskReference",
    "TaskState",
    "TaskStatus",
    "VersionState",
    "WorklistItem",
]


@dataclass(frozen=True)
class InstanceStored:
    """One SOP instance became durable in a gateway's store.

    ``retrieve_url`` is the WADO-RS URL of the instance; ``sha256`` and ``size_bytes`` are of the data set as
    received. ``is_own_result`` marks objects that this system made, which never start an inference. ``replaces``
    says that it took the place of other content under the same SOP Instance UID. ``patient_key`` is a keyed hash,
    never the identifier; ``image_type`` is (0008,0008) joined by backslashes; orientation and position are those
    of (0020,0037) and (0020,0032), in mm; ``quality_control`` marks a phantom or a calibration.
    ``study_date_time`` is Study Date and, where it is there, Time as YYYYMMDD[HHMMSS], on the clock of whoever
    made the images; ``accession_issuer`` who issued the accession number, where the images say so (0008,0051).
    """

    event_id: str
    occurred_at: datetime
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    gateway: str
    origin: Origin
    retrieve_url: str
    sha256: str
    size_bytes: int
    modality: str | None = None
    calling_ae_title: str | None = None
    called_ae_title: str | None = None
    association_id: str | None = None
    body_part_examined: str | None = None
    study_description: str | None = None
    series_description: str | None = None
    accession_number: str | None = None
    requested_procedure_priority: str | None = None
    is_own_result: bool = False
    replaces: bool = False
    patient_key: str | None = None
    patient_age_years: float | None = None
    image_type: str | None = None
    image_orientation: tuple[float, ...] = ()
    image_position: tuple[float, ...] = ()
    slice_thickness_mm: float | None = None
    has_contrast: bool | None = None
    number_of_frames: int | None = None
    quality_control: bool = False
    accession_issuer: str | None = None
    study_date_time: str | None = None


@dataclass(frozen=True)
class ArrivalHint:
    """Somebody who knows says that a study may be complete.

    ``instance_count`` is of the association for ``ASSOCIATION_RELEASED``, which is sent after its instances; else
    it is how many different instances the study has at least, and they may still be on their way.
    """

    event_id: str
    occurred_at: datetime
    study_instance_uid: str
    gateway: str
    kind: HintKind
    association_id: str | None = None
    instance_count: int | None = None


@dataclass(frozen=True)
class StudyReady:
    """A study is complete, or with ``complete`` false: some of its series are, and more is expected.

    ``retrieve_url`` is its WADO-RS study URL.
    """

    event_id: str
    occurred_at: datetime
    study_instance_uid: str
    revision: int
    reason: ReadyReason
    gateway: str
    retrieve_url: str
    series: tuple[SeriesContent, ...]
    instance_count: int
    first_instance_at: datetime
    last_instance_at: datetime
    calling_ae_title: str | None = None
    called_ae_title: str | None = None
    study_description: str | None = None
    accession_number: str | None = None
    requested_procedure_priority: str | None = None
    patient_key: str | None = None
    patient_age_years: float | None = None
    quality_control: bool = False
    complete: bool = True
    accession_issuer: str | None = None
    study_date_time: str | None = None


@dataclass(frozen=True)
class ClinicalContext:
    """What an order or admission says about urgency; ``patient_key`` is a keyed hash, never the identifier.

    ``worklist`` is what modalities ask for, if the order is scheduled. ``order_status`` is active, held, cancelled
    or completed; ``consent`` granted or refused; ``merged_keys`` are keys that this patient had before a merge.
    ``accession_issuer`` is who issued the accession number, where that was said or agreed on.
    """

    event_id: str
    occurred_at: datetime
    patient_key: str
    accession_number: str | None = None
    study_instance_uid: str | None = None
    order_priority: str | None = None
    patient_class: str | None = None
    reason: str | None = None
    message_type: str | None = None
    worklist: WorklistItem | None = None
    order_status: str | None = None
    consent: str | None = None
    patient_age_years: float | None = None
    patient_location: str | None = None
    merged_keys: tuple[str, ...] = ()
    accession_issuer: str | None = None


@dataclass(frozen=True)
class Finding:
    """One thing that a model found.

    ``tracking_uid`` is the same in SR, SEG and GSPS (IHE AIR). ``evidence`` are the SOP Instance UIDs of the
    images that show it best; ``decision`` is a radiologist's verdict, once there is one.
    """

    event_id: str
    occurred_at: datetime
    finding_id: str
    finding_type: str
    task_id: str
    study_instance_uid: str
    series_instance_uid: str
    revision: int
    code: Code
    category: Category
    tracking_id: str
    tracking_uid: str
    measurements: tuple[Measurement, ...] = ()
    probability: float | None = None
    site: Code | None = None
    segment_number: int | None = None
    warnings: tuple[str, ...] = ()
    laterality: Laterality | None = None
    locations: tuple[Location, ...] = ()
    characteristics: tuple[Characteristic, ...] = ()
    evidence: tuple[str, ...] = ()
    decision: Decision | None = None


@dataclass(frozen=True)
class InferenceResult:
    """What a model said about a series.

    ``sop_instance_uids`` are the source images in the order of the mask's first axis; ``retrieve_url`` is the
    WADO-RS URL of the study. ``quality`` are numbers about the images or the run; ``image_quality_warnings`` and
    ``out_of_domain_warnings`` say why a person should trust it less, ``warnings`` anything else. ``decision`` is a
    radiologist's verdict on a result without findings. ``prior`` is the earlier result that measurements of change
    refer to. ``output_formats`` are the kinds of DICOM objects that the requester wants; none: as configured.
    """

    event_id: str
    occurred_at: datetime
    task_id: str
    study_instance_uid: str
    series_instance_uid: str
    revision: int
    priority: Priority
    outcome: ResultOutcome
    model: ModelIdentity
    task_created_at: datetime
    deadline: datetime
    node: str
    attempt: int
    retrieve_url: str
    sop_instance_uids: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    stages: tuple[StageTime, ...] = ()
    warnings: tuple[str, ...] = ()
    limitations: str | None = None
    accession_number: str | None = None
    reason: str | None = None
    callback_url: str | None = None
    quality: tuple[Measurement, ...] = ()
    image_quality_warnings: tuple[str, ...] = ()
    out_of_domain_warnings: tuple[str, ...] = ()
    decision: Decision | None = None
    prior: PriorReference | None = None
    patient_key: str | None = None
    output_formats: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeliveryOutcome:
    """What became of one result at one destination, per object.

    ``latency_ms`` runs from the creation of the task to the confirmation of the destination.
    """

    event_id: str
    occurred_at: datetime
    task_id: str
    study_instance_uid: str
    revision: int
    destination: str
    status: DeliveryStatus
    attempt: int
    priority: Priority
    latency_ms: float
    objects: tuple[ObjectOutcome, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class Adjudication:
    """A radiologist's verdict on a finding, or on a result without findings.

    ``finding_id`` is then the result's event id. ``reviewer`` is an account name, never free text. ``result`` is
    the result as it stands after this verdict: every finding with its decision, amended ones with new values.
    """

    event_id: str
    occurred_at: datetime
    finding_id: str
    task_id: str
    study_instance_uid: str
    decision: Decision
    reviewer: str
    comment: str | None = None
    result: InferenceResult | None = None


@dataclass(frozen=True)
class AuditEvent:
    """A security-relevant event (PS3.15 A.5): ``code`` is a DCM event id, ``outcome`` 0, 4, 8 or 12."""

    event_id: str
    occurred_at: datetime
    site: str
    node: str
    code: str
    action: str
    outcome: int
    description: str
    study_instance_uid: str | None = None
    detail: dict[str, str] | None = None


#: Every record that may be a message value, by Avro name.
Event = (
    InstanceStored
    | ArrivalHint
    | StudyReady
    | AssemblyState
    | RelayPosition
    | ClinicalContext
    | EligibilityDecision
    | InferenceTask
    | TaskCommand
    | TaskStatus
    | NodeHeartbeat
    | InferenceResult
    | PriorResult
    | Finding
    | DeliveryOutcome
    | Adjudication
    | EscalationStep
    | EscalationAcknowledgement
    | AuditEvent
)
