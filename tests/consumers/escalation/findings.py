"""Results with critical findings about fresh studies, and routes for tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from consumers.escalation.routes import Routes
from schemas.events import (
    Adjudication,
    Category,
    Code,
    Decision,
    EscalationAcknowledgement,
    EscalationStep,
    Finding,
    InferenceResult,
    Laterality,
)
from schemas.ids import dicom_uid, event_id
from tests.consumers.results import BRAIN, result_with_findings

BLEEDING = Code("50960005", "SCT", "Hemorrhage")
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def critical(
    study: str, *, revision: int = 1, at: datetime | None = None, run: str = "", **of_finding: object
) -> InferenceResult:
    """Result with one critical bleeding on the left."""
    base = result_with_findings(dicom_uid("study", study))
    task = event_id("task", study, revision, run)
    moment = at or datetime.now(UTC)
    finding = replace(
        base.findings[0],
        finding_id=event_id("finding", task),
        task_id=task,
        occurred_at=moment,
        revision=revision,
        code=BLEEDING,
        category=Category.CRITICAL,
        site=BRAIN,
        laterality=Laterality.LEFT,
        probability=0.93,
    )
    finding = replace(finding, **of_finding)  # type: ignore[arg-type] # fields as the test names them
    return replace(
        base,
        event_id=event_id("result", task),
        occurred_at=moment,
        task_id=task,
        revision=revision,
        findings=(finding,),
        accession_number="A-2026-0117",
    )


def also(result: InferenceResult, *findings: Finding) -> InferenceResult:
    """Result with further findings."""
    return replace(result, findings=(*result.findings, *findings))


def verdict(result: InferenceResult, decision: Decision, number: int = 0, **changed: object) -> Adjudication:
    """A radiologist's verdict on one finding of a result, with the result as it then stands."""
    finding = result.findings[number]
    judged = replace(finding, decision=decision, **changed)  # type: ignore[arg-type] # as the test names them
    findings = (*result.findings[:number], judged, *result.findings[number + 1 :])
    return Adjudication(
        event_id=event_id("verdict", finding.finding_id, decision.value),
        occurred_at=result.occurred_at,
        finding_id=finding.finding_id,
        task_id=result.task_id,
        study_instance_uid=result.study_instance_uid,
        decision=decision,
        reviewer="reader-1",
        comment="не згоден",
        result=replace(result, findings=findings),
    )


def answer(step: EscalationStep, actor: str = "neurosurgeon-on-call") -> EscalationAcknowledgement:
    """Somebody takes responsibility."""
    return EscalationAcknowledgement(
        event_id=event_id("answer", step.escalation_id, actor),
        occurred_at=step.occurred_at,
        escalation_id=step.escalation_id,
        study_instance_uid=step.study_instance_uid,
        actor=actor,
        comment="Беру на себе",
    )


def three_contacts(
    url: str = "http://127.0.0.1:9/",
    *,
    wait_s: float = 300,
    retry_after_s: tuple[float, ...] = (30, 60),
    **more: object,
) -> Routes:
    """Three contacts, the first with two ways; every channel is a webhook under ``url``."""
    return Routes.model_validate(
        {
            "retry_after_s": retry_after_s,
            "channels": {name: {"kind": "webhook", "url": f"{url}{name}"} for name in ("sms", "pager", "mail")},
            "contacts": {
                "first": {"language": "uk", "ways": [{"channel": "sms"}, {"channel": "pager"}]},
                "second": {"ways": [{"channel": "mail"}]},
                "third": {"ways": [{"channel": "pager"}]},
            },
            "routes": {
                "readers": {
                    "codes": ["SCT:36118008"],
                    "categories": ["critical", "urgent"],
                    "contacts": [{"contact": "second", "wait_s": wait_s}],
                    "verdict_acknowledges": True,
                }
            },
            "default": [{"contact": name, "wait_s": wait_s} for name in ("first", "second", "third")],
            **more,
        }
    )
