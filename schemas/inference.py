"""Records about the work itself: what is asked of it, who may do it, who does it; part of ``schemas.events``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from schemas.topics import Priority
from schemas.values import (
    BegunTask,
    ClassLoad,
    Code,
    CommandKind,
    ModelState,
    NodeState,
    PriorReference,
    PriorValue,
    SeriesContent,
    TaskParameters,
    TaskState,
)


@dataclass(frozen=True)
class InferenceTask:
    """Run one model on one revision of a study.

    ``deadline`` is when results must be stored; ``excluded_nodes`` have failed this task before;
    ``priority_reason`` and ``rule_revision`` say who decided the class. Nobody wants the result after
    ``useful_until``; ``model_version`` is pinned, or the one that serves. ``partial`` says that it was made from
    the complete series of a study that is not. ``request_key`` is what a requester's own identifier became, so
    that the same one is the same task; ``request_digest`` tells what was asked for under it. ``losses`` counts the
    attempts in which the process was lost that computed it.
    """

    event_id: str
    occurred_at: datetime
    task_id: str
    study_instance_uid: str
    revision: int
    model_name: str
    priority: Priority
    priority_reason: str
    rule_revision: str
    created_at: datetime
    deadline: datetime
    retrieve_url: str
    series: tuple[SeriesContent, ...]
    attempt: int = 1
    excluded_nodes: tuple[str, ...] = ()
    not_before: datetime | None = None
    accession_number: str | None = None
    requested_by: str = "streams"
    callback_url: str | None = None
    parameters: TaskParameters | None = None
    patient_key: str | None = None
    patient_age_years: float | None = None
    useful_until: datetime | None = None
    indication: str | None = None
    model_version: str | None = None
    partial: bool = False
    request_key: str | None = None
    request_digest: str | None = None
    study_date_time: str | None = None
    losses: int = 0


@dataclass(frozen=True)
class TaskStatus:
    """A task moved. ``progress`` is in percent."""

    event_id: str
    occurred_at: datetime
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
    node: str | None = None
    reason: str | None = None
    model_version: str | None = None


@dataclass(frozen=True)
class TaskCommand:
    """Whoever holds the task obeys; one that is finished stays so.

    ``actor`` is an account or process, never free text; ``priority``, its reason, ``rule_revision`` and
    ``deadline`` are those of an upgrade. With ``unless_begun`` a cancel lets go on what is computed already.
    ``reason_codes`` say why in codes; ``contact_name`` and ``contact_uri`` are of staff whom to ask about it.
    """

    event_id: str
    occurred_at: datetime
    task_id: str
    study_instance_uid: str
    kind: CommandKind
    actor: str
    reason: str | None = None
    priority: Priority | None = None
    priority_reason: str | None = None
    rule_revision: str | None = None
    deadline: datetime | None = None
    unless_begun: bool = False
    reason_codes: tuple[Code, ...] = ()
    contact_name: str | None = None
    contact_uri: str | None = None


@dataclass(frozen=True)
class EligibilityDecision:
    """Whether a model runs on a revision of a study, and why, in sentences."""

    event_id: str
    occurred_at: datetime
    study_instance_uid: str
    revision: int
    model_name: str
    eligible: bool
    reasons: tuple[str, ...]
    rule_revision: str
    series_instance_uid: str | None = None
    task_id: str | None = None


@dataclass(frozen=True)
class NodeHeartbeat:
    """A node of workers is alive; the newest one counts. ``memory_bytes`` are resident.

    ``begun`` is what it works on, so that others know it should the node vanish.
    """

    event_id: str
    occurred_at: datetime
    node: str
    started_at: datetime
    state: NodeState
    engine: str
    models: tuple[ModelState, ...] = ()
    load: tuple[ClassLoad, ...] = ()
    problems: tuple[str, ...] = ()
    memory_bytes: int | None = None
    begun: tuple[BegunTask, ...] = ()


@dataclass(frozen=True)
class PriorResult:
    """The newest result of a model for a patient, for comparison with the next one.

    ``patient_key`` is a keyed hash, never the identifier; ``result_id`` the event id of the result. ``previous``
    and its values are those of the study before, with which a further revision of this one is compared;
    ``earlier_studies`` had results before it and are never compared with it.
    """

    event_id: str
    occurred_at: datetime
    patient_key: str
    model_name: str
    model_version: str
    study_instance_uid: str
    revision: int
    result_id: str
    values: tuple[PriorValue, ...]
    previous: PriorReference | None = None
    previous_values: tuple[PriorValue, ...] = ()
    earlier_studies: tuple[str, ...] = ()
    study_date_time: str | None = None
