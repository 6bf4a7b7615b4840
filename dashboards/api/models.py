"""What the API says of studies and tasks: JSON with times in UTC (RFC 3339) and durations in milliseconds."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from dashboards.api.review_models import VerdictModel
from schemas.events import (
    Category,
    DeliveryStatus,
    Laterality,
    ReadyReason,
    ResultOutcome,
    TaskState,
)
from schemas.topics import Priority

_UID = "1.2.826.0.1.3680043.8.498.88471291993111599428664102654950141803"
_TASK = "5f0c2c39-6f1e-5d0c-9e0b-6a0cf1f77f54"


class Stage(BaseModel):
    """One step of the way: what was reached, when, and how long after the first image arrived."""

    name: str = Field(examples=["delivered:stow"])
    at: datetime
    since_arrival_ms: float | None = Field(default=None, examples=[4210.0])
    attempt: int | None = None


class DeliveredObject(BaseModel):
    """One object at a destination."""

    destination: str = Field(examples=["stow"])
    object_type: str = Field(
        description="SOP Class UID or FHIR resource type", examples=["1.2.840.10008.5.1.4.1.1.66.4"]
    )
    name: str = Field(description="the type for people", examples=["SEG"])
    identifier: str = Field(examples=["2.25.310000000000000000000000000000000000"])
    status: DeliveryStatus
    url: str | None = None
    status_code: int | None = None
    reason: str | None = None


class Delivery(BaseModel):
    """What one destination said."""

    destination: str = Field(examples=["fhir"])
    status: DeliveryStatus
    at: datetime
    attempt: int
    latency_ms: float = Field(description="from the creation of the task to the confirmation")
    reason: str | None = None


class MeasurementModel(BaseModel):
    """A number with its unit (UCUM)."""

    name: str = Field(examples=["Brain volume"])
    value: float = Field(examples=[1172.4])
    unit: str = Field(examples=["mL"])


class FindingModel(BaseModel):
    """One thing that the model found."""

    finding_id: str
    finding_type: str = Field(examples=["brain-volume"])
    name: str
    category: Category
    probability: float | None = None
    site: str | None = None
    laterality: Laterality | None = None
    measurements: list[MeasurementModel]
    warnings: list[str]
    verdict: VerdictModel | None = Field(default=None, description="the latest; the values are those after it")


class ModelRun(BaseModel):
    """Duration of one stage of the worker."""

    name: str = Field(examples=["inference"])
    duration_ms: float = Field(examples=[812.5])


class ArtifactModel(BaseModel):
    """Claim check of a large output."""

    kind: str = Field(examples=["mask"])
    media_type: str
    retrieve_url: str
    sha256: str
    size_bytes: int
    shape: list[int] = Field(examples=[[20, 256, 256]])


class Result(BaseModel):
    """What the model said about a series."""

    at: datetime
    outcome: ResultOutcome
    series_instance_uid: str
    model: str = Field(examples=["mindgrab 1.0.0"])
    engine: str = Field(examples=["onnxruntime"])
    result_id: str | None = Field(default=None, description="what a verdict on a negative answer names")
    verdict: VerdictModel | None = Field(default=None, description="on a negative answer")
    findings: list[FindingModel]
    artifacts: list[ArtifactModel]
    stages: list[ModelRun]
    warnings: list[str]
    limitations: str | None = None
    reason: str | None = None


class Task(BaseModel):
    """One inference task."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "task_id": _TASK,
                    "study_instance_uid": _UID,
                    "revision": 1,
                    "model": "mindgrab",
                    "priority": "p2-urgent",
                    "priority_reason": "requested procedure priority HIGH",
                    "rule_revision": "3d1f6a7c",
                    "state": "inferring",
                    "progress": 40,
                    "attempt": 1,
                    "created_at": "2026-01-15T09:30:02.120Z",
                    "deadline": "2026-01-15T09:45:02.120Z",
                    "updated_at": "2026-01-15T09:30:03.481Z",
                    "overdue": False,
                    "node": "worker-1",
                    "reason": None,
                    "timeline": [{"name": "queued", "at": "2026-01-15T09:30:02.120Z", "attempt": 1}],
                    "result": None,
                    "deliveries": [],
                }
            ]
        }
    )

    task_id: str
    study_instance_uid: str
    revision: int
    model: str
    priority: Priority
    priority_reason: str | None = None
    rule_revision: str | None = None
    state: TaskState
    progress: int = Field(ge=0, le=100, description="percent")
    attempt: int
    created_at: datetime
    deadline: datetime
    updated_at: datetime
    overdue: bool = Field(description="the deadline has passed, or had passed when the task finished")
    node: str | None = None
    reason: str | None = None
    timeline: list[Stage]
    result: Result | None = None
    deliveries: list[Delivery]


class Study(BaseModel):
    """A study with its tasks, its way through the system and the objects made of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "study_instance_uid": _UID,
                    "revision": 1,
                    "arrived_at": "2026-01-15T09:30:00.004Z",
                    "last_instance_at": "2026-01-15T09:30:00.310Z",
                    "ready_at": "2026-01-15T09:30:02.118Z",
                    "ready_reason": "ASSOCIATION_RELEASED",
                    "instance_count": 20,
                    "series_count": 1,
                    "modalities": ["MR"],
                    "study_description": "BRAIN",
                    "updated_at": "2026-01-15T09:30:04.001Z",
                    "retrieve_url": f"http://127.0.0.1:8042/dicom-web/studies/{_UID}",
                    "report_url": "http://127.0.0.1:8080/fhir/DiagnosticReport/5f0c2c39",
                    "timeline": [{"name": "arrived", "at": "2026-01-15T09:30:00.004Z", "since_arrival_ms": 0.0}],
                    "objects": [],
                    "tasks": [],
                }
            ]
        }
    )

    study_instance_uid: str
    revision: int = Field(description="0 while the study itself was not read, only its tasks")
    arrived_at: datetime | None = None
    last_instance_at: datetime | None = None
    ready_at: datetime | None = None
    ready_reason: ReadyReason | None = None
    instance_count: int | None = None
    series_count: int | None = None
    modalities: list[str]
    study_description: str | None = None
    accession_number: str | None = None
    calling_ae_title: str | None = None
    gateway: str | None = None
    updated_at: datetime
    retrieve_url: str | None = None
    report_url: str | None = None
    timeline: list[Stage]
    objects: list[DeliveredObject]
    tasks: list[Task]


class StudyList(BaseModel):
    """A page of the worklist: open studies by urgency and deadline, then finished ones, the latest first."""

    total: int = Field(description="number of studies known")
    studies: list[Study]


class TaskList(BaseModel):
    """Tasks in the order in which they should be done."""

    total: int = Field(description="number of tasks that match")
    tasks: list[Task]


class Live(BaseModel):
    """The process answers."""

    live: bool = True


class Ready(BaseModel):
    """The API can be trusted: Kafka answers and the live view has read everything."""

    ready: bool = True
    studies: int
    tasks: int


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "no study 1.2.3 is known: check the UID, or wait until the study is complete",
                    "instance": "/studies/1.2.3",
                }
            ]
        }
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    fields: list[str] | None = Field(
        default=None, description="what of the request is at fault, where it is known"
    )
