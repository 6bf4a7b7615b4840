"""Parts of events: enumerations and small records that several events share. Frozen, like the events.

A symbol may be added to an enumeration: every new reader reads what was written before (BACKWARD_TRANSITIVE). As
with every change of the contract, readers are updated before the writers that use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from schemas.topics import Priority


class Origin(StrEnum):
    """How an instance came in."""

    C_STORE = "C_STORE"
    STOW_RS = "STOW_RS"
    POLLER = "POLLER"


class HintKind(StrEnum):
    """Why a study may be complete; the last three come from who made or holds the whole list of instances."""

    ASSOCIATION_RELEASED = "ASSOCIATION_RELEASED"
    OPERATOR = "OPERATOR"
    MPPS_COMPLETED = "MPPS_COMPLETED"
    INSTANCE_AVAILABILITY = "INSTANCE_AVAILABILITY"
    STORAGE_COMMITMENT = "STORAGE_COMMITMENT"


class ReadyReason(StrEnum):
    """Why a study was declared complete."""

    QUIET = "QUIET"
    ASSOCIATION_RELEASED = "ASSOCIATION_RELEASED"
    HARD_CAP = "HARD_CAP"
    OPERATOR = "OPERATOR"
    MPPS_COMPLETED = "MPPS_COMPLETED"
    INSTANCE_AVAILABILITY = "INSTANCE_AVAILABILITY"
    STORAGE_COMMITMENT = "STORAGE_COMMITMENT"
    SERIES = "SERIES"


class TaskState(StrEnum):
    """State of a task; ``COMPLETED``, ``FAILED`` and ``CANCELLED`` are final."""

    QUEUED = "queued"
    PREPROCESSING = "preprocessing"
    INFERRING = "inferring"
    POSTPROCESSING = "postprocessing"
    RETRY_WAIT = "retry_wait"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ResultOutcome(StrEnum):
    """Ran and found something, ran and found nothing, or could not run: three different answers."""

    FINDINGS = "findings"
    NO_FINDINGS = "no_findings"
    COULD_NOT_RUN = "could_not_run"


class Category(StrEnum):
    """How soon a person must see a finding."""

    CRITICAL = "critical"
    URGENT = "urgent"
    ROUTINE = "routine"
    INCIDENTAL = "incidental"


class Laterality(StrEnum):
    """Side of the body."""

    LEFT = "left"
    RIGHT = "right"
    BILATERAL = "bilateral"


class CommandKind(StrEnum):
    """What is asked of the worker that holds a task."""

    CANCEL = "cancel"
    UPGRADE = "upgrade"
    HOLD = "hold"
    RELEASE = "release"


class NodeState(StrEnum):
    """How a node of workers is."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    UNHEALTHY = "unhealthy"


class VersionState(StrEnum):
    """What a version of a model may do on a node; a canary serves a share, a shadow runs unseen."""

    SERVING = "serving"
    CANARY = "canary"
    SHADOW = "shadow"
    STANDBY = "standby"
    REFUSED = "refused"


class LocationKind(StrEnum):
    """How a location is drawn; the first three lie on an image, the others in the patient."""

    POINT = "point"
    CONTOUR = "contour"
    BOX = "box"
    POINT_3D = "point_3d"
    CONTOUR_3D = "contour_3d"


class EscalationStage(StrEnum):
    """Where the alarm about a critical finding stands; the last three end it."""

    OPENED = "opened"
    NOTIFIED = "notified"
    NOTIFY_FAILED = "notify_failed"
    ACKNOWLEDGED = "acknowledged"
    EXHAUSTED = "exhausted"
    WITHDRAWN = "withdrawn"


class DeliveryStatus(StrEnum):
    """What became of a result at one destination."""

    STORED = "stored"
    PARTIAL = "partial"
    FAILED = "failed"
    SKIPPED = "skipped"


class Decision(StrEnum):
    """A radiologist's verdict."""

    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    AMENDED = "amended"


@dataclass(frozen=True)
class Code:
    """Coded concept (PS3.3 8.8): value, coding scheme designator, meaning."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class SeriesContent:
    """What one series of a study holds; UIDs sorted.

    ``orientation`` is axial, coronal, sagittal, oblique or, of slices of several, mixed; ``slice_spacing_mm`` the
    mean distance of neighbouring slices, ``position_range_mm`` the first and last one along the normal.
    ``image_types`` are the distinct values of (0008,0008), each joined by backslashes.
    """

    series_instance_uid: str
    modality: str | None
    sop_class_uid: str
    series_description: str | None
    body_part_examined: str | None
    sop_instance_uids: tuple[str, ...]
    orientation: str | None = None
    slice_spacing_mm: float | None = None
    slice_thickness_mm: float | None = None
    has_contrast: bool | None = None
    image_types: tuple[str, ...] = ()
    position_range_mm: tuple[float, ...] = ()
    number_of_frames: int | None = None


@dataclass(frozen=True)
class ModelIdentity:
    """Which model produced a result.

    ``sha256`` is of the model file; ``device_uid`` changes with it. ``udi`` is the Unique Device Identifier of a
    registered medical device.
    """

    name: str
    version: str
    sha256: str
    manufacturer: str
    device_uid: str
    engine: str
    udi: str | None = None


@dataclass(frozen=True)
class Artifact:
    """Claim check of a large output.

    ``kind`` says what it is: ``mask``, ``probability`` (of a segment) or ``heatmap``. ``media_type`` says how the
    bytes are packed and ``shape`` is the array shape, slices first. ``quantity`` and ``unit`` say what the numbers
    of a heatmap are.
    """

    kind: str
    media_type: str
    retrieve_url: str
    sha256: str
    size_bytes: int
    shape: tuple[int, ...]
    quantity: Code | None = None
    unit: Code | None = None


@dataclass(frozen=True)
class Measurement:
    """A number with its concept, its UCUM unit, and how it was found."""

    code: Code
    value: float
    unit: Code
    method: Code | None = None


@dataclass(frozen=True)
class Characteristic:
    """A property of a finding that is not a number: a concept and its coded value."""

    name: Code
    value: Code


@dataclass(frozen=True)
class Location:
    """Where a finding is.

    On an image, ``points`` are column, row, column, row … with sub-pixel resolution, (0, 0) the outer corner of
    the first pixel (PS3.3 C.18.6.1.1), on ``sop_instance_uid`` and, in a multi-frame image, ``frame_number`` from
    1. In the patient they are x, y, z … in mm in the frame of reference (PS3.3 C.18.9). A contour is closed
    without repeating its first point; a box is two opposite corners.
    """

    kind: LocationKind
    points: tuple[float, ...]
    sop_instance_uid: str | None = None
    frame_number: int | None = None
    frame_of_reference_uid: str | None = None


@dataclass(frozen=True)
class TaskParameters:
    """What a requester may set for one task; ``output_formats`` are names of object kinds, none: as configured."""

    confidence_threshold: float | None = None
    output_formats: tuple[str, ...] = ()
    include_heatmaps: bool = False


@dataclass(frozen=True)
class TaskReference:
    """A task that a study led to; ``content`` is the same for the same images."""

    task_id: str
    model_name: str
    priority: Priority
    created_at: datetime
    content: str | None = None
    deadline: datetime | None = None


@dataclass(frozen=True)
class PriorReference:
    """The earlier result that measurements of change refer to; ``result_id`` is its event id."""

    result_id: str
    study_instance_uid: str
    occurred_at: datetime
    study_date_time: str | None = None


@dataclass(frozen=True)
class PriorValue:
    """One measurement of a thing that is followed over time."""

    tracking_id: str
    measurement: Measurement


@dataclass(frozen=True)
class ModelState:
    """One version of a model on a node; ``reason`` says why it was refused."""

    name: str
    version: str
    sha256: str
    state: VersionState
    reason: str | None = None


@dataclass(frozen=True)
class BegunTask:
    """An attempt that a node works on; ``deaths`` counts nodes that vanished while they did so before."""

    task_id: str
    attempt: int
    deaths: int = 0


@dataclass(frozen=True)
class ClassLoad:
    """Tasks of one class that a node holds."""

    priority: Priority
    waiting: int
    running: int
    oldest_waiting_s: float


@dataclass(frozen=True)
class StageTime:
    """How long one stage of the worker took."""

    name: str
    duration_ms: float


@dataclass(frozen=True)
class PendingNotice:
    """A notice that an alarm will send at ``due_at``; ``attempt`` counts from 1, a later one repeats a failure."""

    level: int
    contact: str
    channel: str
    attempt: int
    due_at: datetime


@dataclass(frozen=True)
class ObjectOutcome:
    """What a destination said to one object.

    ``identifier`` is the SOP Instance UID or the FHIR logical reference, ``object_type`` the SOP class UID or
    the FHIR resource type, ``status_code`` the far side's own code.
    """

    object_type: str
    identifier: str
    status: DeliveryStatus
    url: str | None = None
    status_code: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class ScheduledProcedureStep:
    """What one piece of equipment is to do (PS3.3 C.4.10); dates and times as DICOM writes them (DA, TM)."""

    step_id: str
    modality: str
    station_ae_title: str
    start_date: str
    start_time: str | None = None
    station_name: str | None = None
    description: str | None = None
    performing_physician_name: str | None = None
    protocol: Code | None = None


@dataclass(frozen=True, repr=False)
class WorklistItem:
    """An order as a modality asks for it (PS3.4 K.6), with the patient's identity; names as in a PN.

    It may be only in a value of ``clinical.context``: never in keys, headers, logs, metrics or the audit store.
    So it shows nothing of itself where it is printed.
    """

    patient_name: str
    patient_id: str
    study_instance_uid: str
    requested_procedure_id: str
    steps: tuple[ScheduledProcedureStep, ...]
    issuer_of_patient_id: str | None = None
    patient_birth_date: str | None = None
    patient_sex: str | None = None
    requested_procedure_description: str | None = None
    requested_procedure_priority: str | None = None
    referring_physician_name: str | None = None
    requesting_physician_name: str | None = None
    admission_id: str | None = None
