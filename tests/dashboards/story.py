"""Events of one study on its way, with chosen times: what several dashboards tests tell their subject."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from schemas import ids
from schemas.events import (
    Artifact,
    Category,
    Code,
    DeliveryOutcome,
    DeliveryStatus,
    Finding,
    InferenceResult,
    InferenceTask,
    Measurement,
    ModelIdentity,
    ObjectOutcome,
    ReadyReason,
    ResultOutcome,
    SeriesContent,
    StageTime,
    StudyReady,
    TaskState,
    TaskStatus,
)
from schemas.topics import Priority

START = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
MODEL = "brain-test"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
SR = "1.2.840.10008.5.1.4.1.1.88.33"


class Story:
    """A study with one task; ``at`` is seconds after the first image."""

    def __init__(
        self, uid: str, priority: Priority = Priority.P3_NORMAL, start: datetime = START, minutes: float = 30
    ) -> None:
        self.uid = uid
        self.priority = priority
        self.start = start
        self.deadline = start + timedelta(minutes=minutes)
        self.task_id = ids.task_id(uid, 1, MODEL)
        self.series = (SeriesContent(f"{uid}.1", "MR", "1.2.3", "AX", "HEAD", (f"{uid}.1.1", f"{uid}.1.2")),)

    def at(self, seconds: float) -> datetime:
        return self.start + timedelta(seconds=seconds)

    def ready(self, seconds: float = 2, revision: int = 1) -> StudyReady:
        return StudyReady(
            event_id=ids.event_id("study-ready", self.uid, revision),
            occurred_at=self.at(seconds),
            study_instance_uid=self.uid,
            revision=revision,
            reason=ReadyReason.ASSOCIATION_RELEASED,
            gateway="gw",
            retrieve_url=f"http://gw/dicom-web/studies/{self.uid}",
            series=self.series,
            instance_count=2,
            first_instance_at=self.start,
            last_instance_at=self.at(1),
            study_description="MR Голова",
            accession_number="A-1",
        )

    def task(self, seconds: float = 2.1) -> InferenceTask:
        return InferenceTask(
            event_id=ids.event_id("inference-task", self.task_id, 1),
            occurred_at=self.at(seconds),
            task_id=self.task_id,
            study_instance_uid=self.uid,
            revision=1,
            model_name=MODEL,
            priority=self.priority,
            priority_reason="order says so",
            rule_revision="abc123",
            created_at=self.at(2.1),
            deadline=self.deadline,
            retrieve_url=f"http://gw/dicom-web/studies/{self.uid}",
            series=self.series,
        )

    def status(self, state: TaskState, seconds: float, attempt: int = 1, progress: int = 10) -> TaskStatus:
        return TaskStatus(
            event_id=ids.event_id("task-status", self.task_id, state.value, attempt),
            occurred_at=self.at(seconds),
            task_id=self.task_id,
            study_instance_uid=self.uid,
            revision=1,
            model_name=MODEL,
            priority=self.priority,
            state=state,
            progress=progress,
            attempt=attempt,
            created_at=self.at(2.1),
            deadline=self.deadline,
            node="worker-1",
        )

    def result(self, seconds: float = 5) -> InferenceResult:
        brain = Code("12738006", "SCT", "Brain")
        finding = Finding(
            event_id=ids.event_id("finding", self.task_id, "brain-volume"),
            occurred_at=self.at(seconds),
            finding_id=ids.event_id("finding", self.task_id, "brain-volume"),
            finding_type="brain-volume",
            task_id=self.task_id,
            study_instance_uid=self.uid,
            series_instance_uid=self.series[0].series_instance_uid,
            revision=1,
            code=brain,
            category=Category.ROUTINE,
            tracking_id="brain",
            tracking_uid=ids.dicom_uid("tracking", self.task_id),
            measurements=(
                Measurement(Code("118565006", "SCT", "Volume"), 1172.44, Code("mL", "UCUM", "milliliter")),
            ),
        )
        return InferenceResult(
            event_id=ids.event_id("inference-result", self.task_id),
            occurred_at=self.at(seconds),
            task_id=self.task_id,
            study_instance_uid=self.uid,
            series_instance_uid=self.series[0].series_instance_uid,
            revision=1,
            priority=self.priority,
            outcome=ResultOutcome.FINDINGS,
            model=ModelIdentity(MODEL, "1", "0" * 64, "somebody", "2.25.1", "onnxruntime-cpu"),
            task_created_at=self.at(2.1),
            deadline=self.deadline,
            node="worker-1",
            attempt=1,
            retrieve_url=f"http://gw/dicom-web/studies/{self.uid}",
            sop_instance_uids=self.series[0].sop_instance_uids,
            findings=(finding,),
            artifacts=(Artifact("mask", "application/x", "http://gw/artifacts/00", "0" * 64, 3, (2, 4, 4)),),
            stages=(StageTime("fetch", 120.0), StageTime("inference", 900.0)),
            warnings=("made for T1",),
        )

    def delivered(self, destination: str, seconds: float) -> DeliveryOutcome:
        if destination == "fhir":
            objects = (_object("DiagnosticReport", "DiagnosticReport/7", "http://api/fhir/DiagnosticReport/7"),)
        else:
            objects = (
                _object(SEG, "2.25.1", "http://gw/dicom-web/instances/2.25.1"),
                _object(SR, "2.25.2", "http://gw/dicom-web/instances/2.25.2"),
            )
        return DeliveryOutcome(
            event_id=ids.event_id("delivery", self.task_id, destination, 1),
            occurred_at=self.at(seconds),
            task_id=self.task_id,
            study_instance_uid=self.uid,
            revision=1,
            destination=destination,
            status=DeliveryStatus.STORED,
            attempt=1,
            priority=self.priority,
            latency_ms=(seconds - 2.1) * 1000,
            objects=objects,
        )

    def whole(self) -> list[StudyReady | InferenceTask | TaskStatus | InferenceResult | DeliveryOutcome]:
        """Everything, in the order in which it happens."""
        return [
            self.ready(),
            self.task(),
            self.status(TaskState.QUEUED, 2.1, progress=0),
            self.status(TaskState.PREPROCESSING, 2.5),
            self.status(TaskState.INFERRING, 3),
            self.status(TaskState.POSTPROCESSING, 4.5),
            self.result(),
            self.status(TaskState.COMPLETED, 5, progress=100),
            self.delivered("stow", 5.4),
            self.delivered("fhir", 5.6),
        ]


def failed(outcome: DeliveryOutcome, reason: str) -> DeliveryOutcome:
    """The same delivery, refused."""
    objects = tuple(replace(item, status=DeliveryStatus.FAILED, url=None) for item in outcome.objects)
    return replace(outcome, status=DeliveryStatus.FAILED, objects=objects, reason=reason)


def _object(kind: str, identifier: str, url: str) -> ObjectOutcome:
    return ObjectOutcome(kind, identifier, DeliveryStatus.STORED, url, 200)
