"""What the live view knows of a study and of a task: immutable, so a reader holds a snapshot without a lock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dashboards.live.reviews import Place
from schemas.events import (
    Artifact,
    Code,
    DeliveryStatus,
    Finding,
    ModelIdentity,
    ObjectOutcome,
    ReadyReason,
    ResultOutcome,
    StageTime,
    TaskParameters,
    TaskState,
)
from schemas.topics import Priority

FINAL_STATES = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED})


@dataclass(frozen=True)
class Moment:
    """A task reached a stage: a task state, ``result``, or ``delivered:<destination>``."""

    name: str
    at: datetime
    attempt: int = 1


@dataclass(frozen=True)
class DeliveryView:
    """What became of a result at one destination."""

    destination: str
    status: DeliveryStatus
    at: datetime
    attempt: int
    latency_ms: float
    objects: tuple[ObjectOutcome, ...]
    reason: str | None


@dataclass(frozen=True)
class ResultView:
    """What the model said; the list of source images is left out because it can be long."""

    at: datetime
    outcome: ResultOutcome
    model: ModelIdentity
    node: str
    series_instance_uid: str
    findings: tuple[Finding, ...]
    artifacts: tuple[Artifact, ...]
    stages: tuple[StageTime, ...]
    warnings: tuple[str, ...]
    limitations: str | None
    reason: str | None


@dataclass(frozen=True)
class Asked:
    """What the task itself says beyond its statuses: what to run on, and for whom.

    ``request_key`` and ``request_digest`` are those of a task that somebody asked for.
    """

    requested_by: str
    series_instance_uids: tuple[str, ...]
    retrieve_url: str
    accession_number: str | None = None
    parameters: TaskParameters | None = None
    model_version: str | None = None
    useful_until: datetime | None = None
    partial: bool = False
    request_key: str | None = None
    request_digest: str | None = None


@dataclass(frozen=True)
class Said:
    """Somebody's word on a task, from a command: when, by whom, why, and whom to ask about it."""

    at: datetime
    actor: str
    reason: str | None
    codes: tuple[Code, ...] = ()
    contact_name: str | None = None
    contact_uri: str | None = None


@dataclass(frozen=True)
class TaskView:
    """One inference task, with everything that happened to it so far.

    ``moments`` are in the order of time. ``priority_reason``, ``rule_revision`` and ``asked`` are ``None`` until
    the task itself was read. ``held`` and ``cancelled`` are what was asked of its worker, which is the one who
    knows whether it came in time; ``upgraded`` is the most urgent class that was asked for; ``commanded_at``
    is the time of the last command.
    """

    task_id: str
    study_instance_uid: str
    revision: int
    model_name: str
    priority: Priority
    state: TaskState
    progress: int
    attempt: int
    created_at: datetime
    deadline: datetime
    updated_at: datetime
    node: str | None = None
    reason: str | None = None
    priority_reason: str | None = None
    rule_revision: str | None = None
    moments: tuple[Moment, ...] = ()
    result: ResultView | None = None
    deliveries: tuple[DeliveryView, ...] = ()
    asked: Asked | None = None
    held: Said | None = None
    cancelled: Said | None = None
    upgraded: Priority | None = None
    commanded_at: datetime | None = None

    @property
    def finished(self) -> bool:
        """Nothing more will happen to the task itself; deliveries may still follow."""
        return self.state in FINAL_STATES


@dataclass(frozen=True)
class SeriesView:
    """One series of a study, without the list of its images."""

    series_instance_uid: str
    modality: str | None
    description: str | None
    instance_count: int


@dataclass(frozen=True)
class StudyView:
    """One study, as of its latest revision. Fields are ``None`` while only its tasks are known.

    ``place`` is where the event of that revision lies, which lists all images.
    """

    study_instance_uid: str
    updated_at: datetime
    revision: int = 0
    arrived_at: datetime | None = None
    last_instance_at: datetime | None = None
    ready_at: datetime | None = None
    ready_reason: ReadyReason | None = None
    instance_count: int | None = None
    series_count: int | None = None
    modalities: tuple[str, ...] = ()
    study_description: str | None = None
    accession_number: str | None = None
    calling_ae_title: str | None = None
    gateway: str | None = None
    retrieve_url: str | None = None
    task_ids: tuple[str, ...] = ()
    series: tuple[SeriesView, ...] = ()
    place: Place | None = None
