"""Verdicts and what the server has → status of an Observation and of a DiagnosticReport (FHIR R4). Pure.

::

    no verdict            preliminary
    CONFIRMED             final
    AMENDED               final with the radiologist's values; amended if it was final before
    REJECTED              entered-in-error
    report                preliminary until every finding is judged, then final; amended if it was final before

``amended`` and ``corrected`` mean a change *after* a final release, so the first verdict is always ``final``, also
where the radiologist changed the model's values. A rejected finding is ``entered-in-error`` (what OBX-11 ``W``,
post original as wrong, maps to): nobody may act on it, and whoever did can still find it. ``cancelled`` would say
that the examination was not done, and is what becomes of a preliminary report whose images were not all there yet.
What is beyond preliminary is never set back.
"""

from __future__ import annotations

from typing import Final

from schemas.events import Decision, InferenceResult

PRELIMINARY: Final = "preliminary"
FINAL: Final = "final"
AMENDED: Final = "amended"
WITHDRAWN: Final = "entered-in-error"
CANCELLED: Final = "cancelled"

_OPEN: Final = frozenset({"registered", "partial", PRELIMINARY, "unknown"})
_RELEASED: Final = frozenset({FINAL, AMENDED, "corrected", "appended"})


def settled(status: str | None) -> bool:
    """Whether somebody has decided: a preliminary result must no longer change it."""
    return status is not None and status not in _OPEN


def observation_status(decision: Decision | None, known: str | None) -> str:
    """Status of an Observation.

    Parameters
    ----------
    decision
        Verdict on its finding, once there is one.
    known
        Status that the server has; ``None`` where the Observation is new.
    """
    if decision is None:
        return known if known is not None and settled(known) else PRELIMINARY
    if decision is Decision.REJECTED:
        return WITHDRAWN
    if known in _RELEASED:
        return str(known) if decision is Decision.CONFIRMED else AMENDED
    return AMENDED if known == WITHDRAWN else FINAL


def report_status(result: InferenceResult, known: str | None, *, changed: bool) -> str:
    """Status of a DiagnosticReport.

    Parameters
    ----------
    result
        With the verdicts so far.
    known
        Status that the server has; ``None`` where the report is new.
    changed
        Whether the last verdict says anything else than the report said before.
    """
    if not judged(result):
        return known if known is not None and settled(known) else PRELIMINARY
    if known in _RELEASED or known == WITHDRAWN:
        return AMENDED if changed else str(known)
    return FINAL


def judged(result: InferenceResult) -> bool:
    """Whether every finding, or the negative answer, has its verdict."""
    if not result.findings:
        return result.decision is not None
    return all(finding.decision is not None for finding in result.findings)
