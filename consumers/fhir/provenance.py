"""A result, or a verdict on it → Provenance: what made which resources, when. Pure, plain JSON.

One per event, never changed. In R4 a Provenance has no identifier, and not every server takes ids from clients, so
it carries a tag that follows from the event, and is created only where no Provenance has that tag (``_tag`` is a
search parameter of every type, FHIR R4 3.1.1.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from consumers.fhir import identity
from consumers.fhir.codes import Json
from consumers.fhir.links import Links, instant
from consumers.fhir.wording import verdict
from schemas.events import Adjudication, InferenceResult
from schemas.terminology import Language

_AGENT: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_ACTIVITY: Final = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"


def of_result(
    result: InferenceResult, links: Links, language: Language, device: Json, made: Sequence[Json]
) -> Json:
    """Provenance of what a model said: its author is the Device, its source the study.

    ``made`` are references to the report and the observations.
    """
    resource = _provenance(result.event_id, language, made)
    return resource | {
        "recorded": instant(result.occurred_at),
        "activity": {"coding": [{"system": _ACTIVITY, "code": "CREATE", "display": "create"}]},
        "agent": [{"type": _type("author", "Author"), "who": device}],
        "entity": [{"role": "source", "what": study} for study in links.study],
    }


def of_verdict(given: Adjudication, language: Language, judged: Sequence[Json]) -> Json:
    """Provenance of a verdict: a radiologist, by account name, verified the observation and the report."""
    resource = _provenance(given.event_id, language, judged)
    activity = {
        "coding": [{"system": _ACTIVITY, "code": "UPDATE", "display": "revise"}],
        "text": verdict(given.decision, language),
    }
    return resource | {
        "recorded": instant(given.occurred_at),
        "reason": [{"text": given.comment or ""}],
        "activity": activity,
        "agent": [{"type": _type("verifier", "Verifier"), "who": identity.reviewer(given.reviewer)}],
    }


def _provenance(event_id: str, language: Language, targets: Sequence[Json]) -> Json:
    return {
        "resourceType": "Provenance",
        "meta": {"tag": [identity.record_tag(event_id)]},
        "language": language.value,
        "target": list(targets),
    }


def _type(code: str, display: str) -> Json:
    return {"coding": [{"system": _AGENT, "code": code, "display": display}]}
