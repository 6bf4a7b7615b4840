"""Result → FHIR Task: the order to run the model, and how it ended. Pure, plain JSON.

A façade for systems that follow Tasks; UPS is what IHE AIW-I asks for. It is also the only resource of a run that
failed: where a model could not look there is nothing to report.
"""

from __future__ import annotations

from typing import Final

from consumers.fhir import identity
from consumers.fhir.codes import Json
from consumers.fhir.links import Links, instant
from schemas.events import InferenceResult, ResultOutcome
from schemas.terminology import Language, Phrase, phrase
from schemas.topics import Priority

COMPLETED: Final = "completed"
FAILED: Final = "failed"

#: Codes of ``Task.businessStatus``: what became of the result, in words of this system.
BUSINESS_STATUS: Final = "urn:scanstream:ai-task-business-status"

_PRIORITY: Final = {
    Priority.P1_EMERGENCY: "stat",
    Priority.P2_URGENT: "urgent",
    Priority.P3_NORMAL: "routine",
    Priority.P4_ROUTINE: "routine",
}


def task(result: InferenceResult, links: Links, language: Language, device: Json, report: Json | None) -> Json:
    """Task of a result, with its status.

    Parameters
    ----------
    result
        What the model said, or that it could not run.
    links
        Patient, order and study.
    language
        Of texts for people.
    device
        Reference to the Device of the model.
    report
        Reference to the report; ``None`` where there is none.
    """
    failed = result.outcome is ResultOutcome.COULD_NOT_RUN
    status = FAILED if failed else COMPLETED
    business = "failed" if failed else "delivered"
    # clocks of two hosts differ, and a period must not end before it starts (invariant per-1)
    end = max(result.task_created_at, result.occurred_at)
    resource: Json = {
        "resourceType": "Task",
        "language": language.value,
        "identifier": [identity.task_identifier(result.task_id)],
        "status": status,
        "businessStatus": {"coding": [{"system": BUSINESS_STATUS, "code": business}]},
        "intent": "order",
        "priority": _PRIORITY[result.priority],
        "code": {"text": phrase(Phrase.TASK_TITLE, language, model=f"{result.model.name} {result.model.version}")},
        "for": links.subject,
        "basedOn": list(links.based_on),
        "focus": links.study[0] if links.study else None,
        "executionPeriod": {"start": instant(result.task_created_at), "end": instant(end)},
        "authoredOn": instant(result.task_created_at),
        "lastModified": instant(end),
        "owner": device,
        "restriction": {"period": {"end": instant(result.deadline)}},
    }
    if failed:
        resource["statusReason"] = {"text": result.reason or phrase(Phrase.REASON_UNKNOWN, language)}
    if report is not None:
        resource["output"] = [{"type": {"text": phrase(Phrase.REPORT_TITLE, language)}, "valueReference": report}]
    return {name: value for name, value in resource.items() if value is not None}
