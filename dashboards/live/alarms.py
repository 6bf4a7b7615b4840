"""Steps of alarms → the latest of each, within a bounded memory.

Guarantee: at most ``most`` alarms are kept; those that are over go first, the oldest before the newer.
"""

from __future__ import annotations

import threading
from typing import Final

from schemas.events import EscalationStage, EscalationStep

#: Stages that need a person: told and not answered, or told in vain.
UNANSWERED: Final = frozenset(
    {
        EscalationStage.OPENED,
        EscalationStage.NOTIFIED,
        EscalationStage.NOTIFY_FAILED,
        EscalationStage.EXHAUSTED,
    }
)


class Alarms:
    """Alarms as the log tells them; readers on any thread get immutable records.

    Parameters
    ----------
    most
        How many are kept.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._steps: dict[str, EscalationStep] = {}

    def apply(self, step: EscalationStep) -> None:
        """An alarm moved."""
        with self._lock:
            self._steps[step.escalation_id] = step
            if len(self._steps) > self._most * 1.1:
                self._forget(len(self._steps) - self._most)

    def find(self, escalation_id: str) -> EscalationStep | None:
        """Latest step of an alarm, or ``None`` when it is not known."""
        with self._lock:
            return self._steps.get(escalation_id)

    def list(self, *, unanswered: bool) -> list[EscalationStep]:
        """Unanswered alarms first, then the latest first; only those where asked."""
        with self._lock:
            known = list(self._steps.values())
        if unanswered:
            known = [step for step in known if step.stage in UNANSWERED]
        return sorted(known, key=lambda step: (step.stage not in UNANSWERED, -step.occurred_at.timestamp()))

    def _forget(self, count: int) -> None:
        order = sorted(self._steps.values(), key=lambda step: (step.stage in UNANSWERED, step.occurred_at))
        for step in order[:count]:
            del self._steps[step.escalation_id]
