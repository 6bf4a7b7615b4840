"""What the live view knows of a study and of a task: immutable, so a reader holds a snapshot without a lock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from schemas.events import (
    Artifact,
    DeliveryStatus,
    Finding,
    ModelIdentity,
    ObjectOutcome,
    ReadyReason,
    ResultOutcome,
    StageTime,
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
class TaskView:
    """One inference task, with everything that happened to it so far.

    ``moments`` are in the order of time. ``priority_reason`` and ``rule_revision`` are ``None`` until the task
    itself was read.
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

    @property
    def finished(self) -> bool:
        """Nothing more will happen to the task itself; deliveries may still follow."""
        return self.state in FINAL_STATES


@dataclass(frozen=True)
class StudyView:
    """One study, as of its latest revision. Fields are ``None`` while only its tasks are known."""

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
