"""What the inference API takes in and says: JSON with times in UTC (RFC 3339)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from dashboards.api.models import DeliveredObject, Delivery, Result
from schemas.events import NodeState, ResultOutcome, VersionState
from schemas.topics import Priority

_STUDY = "1.2.826.0.1.3680043.8.498.1001"
_TASK = "6981371f-a3c3-50cd-9675-817c7e89a016"

Actor = Annotated[str, StringConstraints(pattern=r"^[\w.@+-]{1,64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PublicState(StrEnum):
    """State of a task as requesters see it; a task that waits to be tried again is queued."""

    QUEUED = "queued"
    PREPROCESSING = "preprocessing"
    INFERRING = "inferring"
    POSTPROCESSING = "postprocessing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TaskLinks(BaseModel):
    """Where to go on from here."""

    self: str
    results: str
    cancel: str
    events: str
    fhir: str
    ups: str


class TaskResource(BaseModel):
    """One inference task, as requesters see it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "task_id": _TASK,
                    "status": "queued",
                    "waiting_for": "worker",
                    "progress": 0,
                    "queue_position": 3,
                    "estimated_completion": "2026-11-22T09:30:21.400Z",
                    "study_instance_uid": _STUDY,
                    "revision": 1,
                    "series_instance_uids": [f"{_STUDY}.2"],
                    "model": "ct-hyperdensity",
                    "model_version": None,
                    "priority": "p2-urgent",
                    "priority_reason": "asked for by the requester (api)",
                    "attempt": 1,
                    "created_at": "2026-11-22T09:30:02.010Z",
                    "updated_at": "2026-11-22T09:30:02.010Z",
                    "deadline": "2026-11-22T09:45:02.010Z",
                    "overdue": False,
                    "node": None,
                    "reason": None,
                    "requested_by": "api",
                    "cancel_requested": False,
                    "outcome": None,
                    "remarks": [],
                    "links": {
                        "self": f"http://127.0.0.1:8080/v1/tasks/{_TASK}",
                        "results": f"http://127.0.0.1:8080/v1/tasks/{_TASK}/results",
                        "cancel": f"http://127.0.0.1:8080/v1/tasks/{_TASK}/cancel",
                        "events": f"http://127.0.0.1:8080/v1/tasks/{_TASK}/events",
                        "fhir": f"http://127.0.0.1:8080/fhir/Task/{_TASK}",
                        "ups": "http://127.0.0.1:8080/workitems/2.25.140261417138353893133421226912712367126",
                    },
                }
            ]
        }
    )

    task_id: str
    status: PublicState
    waiting_for: Literal["worker", "retry", "release"] | None = Field(
        default=None, description="what a queued task waits for: a worker, its next attempt, or a person"
    )
    progress: int = Field(ge=0, le=100, description="percent")
    queue_position: int | None = Field(
        default=None,
        description="1 is next, by class and age among the tasks that wait; null where the task does not wait "
        "for a worker",
    )
    estimated_completion: datetime | None = Field(
        default=None,
        description="by what the models needed lately and the workers that are alive; null where that is unknown",
    )
    study_instance_uid: str
    revision: int
    series_instance_uids: list[str]
    model: str
    model_version: str | None
    priority: Priority
    priority_reason: str | None
    attempt: int
    created_at: datetime
    updated_at: datetime
    deadline: datetime
    overdue: bool
    node: str | None
    reason: str | None
    requested_by: str | None
    cancel_requested: bool
    outcome: ResultOutcome | None = Field(default=None, description="once there is a result")
    remarks: list[str] = Field(default=[], description="what the requester should know")
    links: TaskLinks


class TaskPage(BaseModel):
    """Tasks, the newest first; ``next`` is the rest of them."""

    tasks: list[TaskResource]
    next: str | None = Field(default=None, description="URL of the next page; null on the last")


class TaskResults(BaseModel):
    """What the model said, and where the objects made of it are."""

    task_id: str
    status: PublicState
    result: Result
    deliveries: list[Delivery]
    objects: list[DeliveredObject]


class CommandRequest(_Strict):
    """Who asks for it, and why."""

    actor: Actor = Field(default="api", description="account name, never free text", examples=["o.koval"])
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] | None = None


class UpgradeRequest(CommandRequest):
    """A more urgent class."""

    priority: Priority = Field(examples=["p1-emergency"])


class VersionModel(BaseModel):
    """One version of a model on one node."""

    node: str
    node_alive: bool
    version: str
    state: VersionState
    sha256: str
    reason: str | None = None


class ModelModel(BaseModel):
    """A model that workers know."""

    name: str
    available: bool = Field(description="a node that is alive answers with it")
    usual_duration_s: float | None = Field(description="median of its last runs; null where none was seen")
    versions: list[VersionModel]


class ModelList(BaseModel):
    """Models by name."""

    models: list[ModelModel]


class LoadModel(BaseModel):
    """Tasks of one class that a node holds."""

    priority: Priority
    waiting: int
    running: int
    oldest_waiting_s: float


class NodeModel(BaseModel):
    """A node of workers, by its newest heartbeat."""

    node: str
    alive: bool
    state: NodeState
    heard_at: datetime
    started_at: datetime
    engine: str
    models: list[str]
    load: list[LoadModel]
    problems: list[str]
    memory_bytes: int | None


class NodeList(BaseModel):
    """Nodes by name."""

    nodes: list[NodeModel]


class EligibilityModel(BaseModel):
    """Whether a model runs on a study by the rules, and why."""

    model: str
    eligible: bool
    reasons: list[str]
    revision: int
    series_instance_uid: str | None
    task_id: str | None
    rule_revision: str
    decided_at: datetime


class EligibilityList(BaseModel):
    """Newest decision for each model."""

    study_instance_uid: str
    decisions: list[EligibilityModel]
