"""Decisions about eligibility → the newest of each study and model, within a bounded memory.

Guarantee: at most ``most`` studies are kept; those decided on last stay.
"""

from __future__ import annotations

import threading

from schemas.events import EligibilityDecision


class Decisions:
    """Which model runs on which study, and why not.

    Parameters
    ----------
    most
        How many studies are kept.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._of: dict[str, dict[str, EligibilityDecision]] = {}

    def apply(self, decision: EligibilityDecision) -> None:
        """A decision was read; one on an older revision changes nothing."""
        with self._lock:
            of_study = self._of.pop(decision.study_instance_uid, {})
            known = of_study.get(decision.model_name)
            if known is None or known.revision <= decision.revision:
                of_study = {**of_study, decision.model_name: decision}
            self._of[decision.study_instance_uid] = of_study
            if len(self._of) > self._most:
                del self._of[next(iter(self._of))]

    def of(self, study_instance_uid: str) -> list[EligibilityDecision]:
        """Newest decision for each model, by name; empty when none is known of the study."""
        with self._lock:
            found = self._of.get(study_instance_uid, {})
        return [found[name] for name in sorted(found)]
