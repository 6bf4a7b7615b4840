"""What is known of a study when it is decided: what its images say, and what orders and admissions say. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

#: Orders in these states want no result now (ClinicalContext.order_status).
CANCELLED: Final = "cancelled"
HELD: Final = "held"
ACTIVE: Final = "active"
#: What a patient may say (ClinicalContext.consent).
GRANTED: Final = "granted"
REFUSED: Final = "refused"


@dataclass(frozen=True)
class Clinical:
    """What orders and admissions say about one study; ``None`` where they do not.

    Attributes
    ----------
    order_priority
        ORC-7.6, OBR-27.6 or TQ1-9 (HL7 v2 tables 0027 and 0485).
    worklist_priority
        (0040,1003) of the worklist item.
    patient_class
        PV1-2 (table 0004).
    patient_location
        PV1-3.1, point of care.
    order_status
        active, held, cancelled or completed; only of orders that are surely of this study.
    order_event
        Event id of what told ``order_status``.
    consent
        granted or refused.
    """

    order_priority: str | None = None
    worklist_priority: str | None = None
    patient_class: str | None = None
    patient_location: str | None = None
    order_status: str | None = None
    order_event: str | None = None
    consent: str | None = None
    patient_age_years: float | None = None
    indication: str | None = None

    @property
    def stopped(self) -> str | None:
        """``cancelled`` or ``refused`` when no result is wanted; ``None`` when it is."""
        if self.consent == REFUSED:
            return REFUSED
        return CANCELLED if self.order_status == CANCELLED else None

    def wanted_again(self, stopped: str | None) -> bool:
        """Whether what stopped a study before is expressly taken back."""
        if self.stopped is not None:
            return False
        return (stopped == CANCELLED and self.order_status == ACTIVE) or (
            stopped == REFUSED and self.consent == GRANTED
        )


NOTHING: Final = Clinical()


@dataclass(frozen=True)
class Facts:
    """What a rule of priority may look at; ``None`` or empty where nobody says."""

    modality: frozenset[str] = frozenset()
    body_part: frozenset[str] = frozenset()
    study_description: str | None = None
    calling_ae_title: str | None = None
    called_ae_title: str | None = None
    requested_procedure_priority: str | None = None
    worklist_priority: str | None = None
    order_priority: str | None = None
    order_status: str | None = None
    patient_class: str | None = None
    patient_location: str | None = None
    age_years: float | None = None

    def given(self, clinical: Clinical) -> Facts:
        """These facts with what orders and admissions say; the age of the images counts before theirs."""
        return replace(
            self,
            worklist_priority=clinical.worklist_priority,
            order_priority=clinical.order_priority,
            order_status=clinical.order_status,
            patient_class=clinical.patient_class,
            patient_location=clinical.patient_location,
            age_years=clinical.patient_age_years if self.age_years is None else self.age_years,
        )
