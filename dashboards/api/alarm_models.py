"""What the API says of alarms about critical findings, and what it takes in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from schemas.events import Category, EscalationStage, EscalationStep, Laterality
from schemas.topics import Priority


class Alarm(BaseModel):
    """Where the alarm about a finding stands; contacts and channels by their configured names."""

    escalation_id: str
    study_instance_uid: str
    accession_number: str | None
    finding_id: str
    finding: str = Field(examples=["Hemorrhage"])
    site: str | None
    laterality: Laterality | None
    probability: float | None
    category: Category
    priority: Priority
    stage: EscalationStage
    rehearsal: bool
    route: str
    level: int = Field(description="contacts from 1; 0 before the first")
    contact: str | None
    channel: str | None
    result_at: datetime
    notified_at: datetime | None = Field(description="first notice")
    updated_at: datetime
    due_at: datetime | None = Field(description="when the next contact is told unless somebody acknowledges")
    actor: str | None = Field(description="who acknowledged or rejected")
    reason: str | None


class AlarmList(BaseModel):
    """Alarms, those that nobody answered first."""

    total: int
    escalations: list[Alarm]


class Acknowledgement(BaseModel):
    """Somebody takes responsibility."""

    model_config = ConfigDict(extra="forbid")

    actor: Annotated[str, StringConstraints(pattern=r"^[\w.@+-]{1,64}$")] = Field(
        description="account or contact name, never free text", examples=["o.koval"]
    )
    comment: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] | None = None


def alarm_of(step: EscalationStep) -> Alarm:
    """An alarm by its latest step."""
    return Alarm(
        escalation_id=step.escalation_id,
        study_instance_uid=step.study_instance_uid,
        accession_number=step.accession_number,
        finding_id=step.finding_id,
        finding=step.finding.meaning,
        site=None if step.site is None else step.site.meaning,
        laterality=step.laterality,
        probability=step.probability,
        category=step.category,
        priority=step.priority,
        stage=step.stage,
        rehearsal=step.rehearsal,
        route=step.route,
        level=step.level,
        contact=step.contact,
        channel=step.channel,
        result_at=step.result_at,
        notified_at=step.notified_at,
        updated_at=step.occurred_at,
        due_at=step.due_at,
        actor=step.actor,
        reason=step.reason,
    )
