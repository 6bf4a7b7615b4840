"""Records about the alarm that a critical finding raises; part of ``schemas.events``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from schemas.topics import Priority
from schemas.values import Category, Code, EscalationStage, Laterality, PendingNotice


@dataclass(frozen=True)
class EscalationStep:
    """The alarm about one critical finding moved; each step tells all that the next one needs.

    ``escalation_id`` follows from the finding, so a replay is recognised. ``contact`` and ``channel`` are names of
    the configuration, never a number or address. ``level`` counts contacts from 1, ``due_at`` is when the next one
    is told unless somebody acknowledges; ``actor`` is who did (an account or contact name). ``pending`` is
    everything that is still to be sent, ``notified_at`` when the first notice was.
    """

    event_id: str
    occurred_at: datetime
    escalation_id: str
    finding_id: str
    task_id: str
    study_instance_uid: str
    stage: EscalationStage
    route: str
    level: int
    priority: Priority
    result_at: datetime
    finding: Code
    rehearsal: bool = False
    contact: str | None = None
    channel: str | None = None
    due_at: datetime | None = None
    actor: str | None = None
    reason: str | None = None
    accession_number: str | None = None
    revision: int = 1
    site: Code | None = None
    laterality: Laterality | None = None
    probability: float | None = None
    notified_at: datetime | None = None
    category: Category = Category.CRITICAL
    pending: tuple[PendingNotice, ...] = ()


@dataclass(frozen=True)
class EscalationAcknowledgement:
    """Somebody took responsibility for a critical finding; ``actor`` is an account or contact name."""

    event_id: str
    occurred_at: datetime
    escalation_id: str
    study_instance_uid: str
    actor: str
    comment: str | None = None
