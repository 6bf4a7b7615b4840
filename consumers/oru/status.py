"""Verdicts → OBX-11 and OBR-25, and the identifiers by which a receiver knows message and report again. Pure.

::

    verdict on a finding    OBX-11 (table 0085)    all findings of a report       OBR-25 (table 0123)
    none yet                P preliminary          one without a verdict          P preliminary
    confirmed               F final                every one confirmed            F final
    amended                 C corrected            one amended or rejected        C corrected
    rejected                W wrong                the model could not run        X no results

The report of one run keeps its filler order number (OBR-3) through all verdicts; a run on a later revision of the
study gets another one. A preliminary result under the number of a confirmed one would take a radiologist's word
back, and whether the earlier one was confirmed cannot be read from an HL7 receiver. The later report names the
earlier one instead.
"""

from __future__ import annotations

import base64
from typing import Final

from schemas.events import Adjudication, Decision, InferenceResult, ResultOutcome
from schemas.ids import deterministic_uuid, task_id

PRELIMINARY: Final = "P"
FINAL: Final = "F"
CORRECTED: Final = "C"
WRONG: Final = "W"
NOT_OBTAINED: Final = "X"
#: Of an observation that tells of the order, not of a result.
ORDER_DETAIL: Final = "O"

_OF_DECISION: Final[dict[Decision | None, str]] = {
    None: PRELIMINARY,
    Decision.CONFIRMED: FINAL,
    Decision.AMENDED: CORRECTED,
    Decision.REJECTED: WRONG,
}


def of_finding(decision: Decision | None) -> str:
    """OBX-11 of what is told about a finding."""
    return _OF_DECISION[decision]


def decisions(result: InferenceResult) -> tuple[Decision | None, ...]:
    """Verdict on each finding, or on the whole of a result without findings."""
    return tuple(finding.decision for finding in result.findings) or (result.decision,)


def of_report(result: InferenceResult) -> str:
    """OBR-25 of a result."""
    if result.outcome is ResultOutcome.COULD_NOT_RUN:
        return NOT_OBTAINED
    said = set(decisions(result))
    if None in said:
        return PRELIMINARY
    return FINAL if said == {Decision.CONFIRMED} else CORRECTED


def filler_order_number(task: str) -> str:
    """OBR-3.1 of the report of one run: 20 characters, as 2.5.1 has room for 22."""
    return _short("oru-report", task)


def previous_filler_order_number(result: InferenceResult) -> str | None:
    """OBR-3.1 of the report that a run on a later revision stands in place of.

    ``None`` for a first revision, and for a run that somebody asked for, whose predecessor nobody can name.
    """
    study, model = result.study_instance_uid, result.model.name
    if result.revision < 2 or result.task_id != task_id(study, result.revision, model):
        return None
    return filler_order_number(task_id(study, result.revision - 1, model))


def control_id(result: InferenceResult, verdict: Adjudication | None) -> str:
    """MSH-10: 20 characters, the most that 2.5.1 has room for; the same whenever the same is told again."""
    return _short("oru-message", result.event_id if verdict is None else verdict.event_id)


def _short(kind: str, part: str) -> str:
    return base64.b32encode(deterministic_uuid(kind, part).bytes[:12]).decode("ascii").rstrip("=")
