"""What the store refuses to keep: resources without required elements, or with a status that R4 does not know.

These are the minimum that every reader relies on (FHIR R4 cardinalities and required bindings of ``status``), not
a profile validation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from dashboards.fhir.outcome import FhirRefusal, Json

_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_OBSERVATION: Final = frozenset(
    ["registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown"]
)
_REQUEST: Final = frozenset(["draft", "active", "on-hold", "revoked", "completed", "entered-in-error", "unknown"])
_TASK: Final = frozenset(
    ["draft", "requested", "received", "accepted", "rejected", "ready", "in-progress", "on-hold", "completed"]
) | {"failed", "cancelled", "entered-in-error"}


@dataclass(frozen=True)
class Rule:
    """Required elements and allowed ``status`` codes of one resource type (empty: no required status)."""

    required: tuple[str, ...] = ()
    statuses: frozenset[str] = frozenset()


#: Every resource type that the store keeps.
RULES: Final[dict[str, Rule]] = {
    "Device": Rule(statuses=frozenset(["active", "inactive", "entered-in-error", "unknown"])),
    "DiagnosticReport": Rule(("status", "code"), _OBSERVATION | {"partial", "appended"}),
    "ImagingStudy": Rule(
        ("status", "subject"), frozenset(["registered", "available", "cancelled", "entered-in-error", "unknown"])
    ),
    "Observation": Rule(("status", "code"), _OBSERVATION),
    "Patient": Rule(),
    "Provenance": Rule(("target", "recorded", "agent")),
    "ServiceRequest": Rule(("status", "intent", "subject"), _REQUEST),
    "Task": Rule(("status", "intent"), _TASK),
}


def check_type(resource_type: str) -> None:
    """Refuse a resource type that is not kept here (404)."""
    if resource_type not in RULES:
        raise FhirRefusal(
            404, "not-supported", f"no such resource type here: use one of {', '.join(sorted(RULES))}"
        )


def check_id(resource_id: object) -> None:
    """Refuse what is no FHIR id (400)."""
    if not isinstance(resource_id, str) or not _ID.fullmatch(resource_id):
        raise FhirRefusal(400, "value", "an id is 1 to 64 letters, digits, '-' and '.': correct it")


def check_resource(resource: object, resource_type: str, where: str) -> Json:
    """Return the resource when it may be kept.

    Parameters
    ----------
    resource
        Parsed JSON.
    resource_type
        Type that the request names.
    where
        FHIRPath of the resource in the request.

    Raises
    ------
    FhirRefusal
        400 when it is not a resource of that type, 422 when an element is missing or wrong.
    """
    if not isinstance(resource, dict) or resource.get("resourceType") != resource_type:
        raise FhirRefusal(400, "structure", f"the body must be one {resource_type} resource in JSON", where)
    if not isinstance(resource.get("meta", {}), dict):
        raise FhirRefusal(422, "structure", "meta must be an object", f"{where}.meta")
    if "id" in resource:
        check_id(resource["id"])
    rule = RULES[resource_type]
    for element in rule.required:
        if not resource.get(element):
            raise FhirRefusal(
                422, "required", f"{resource_type}.{element} is missing: add it", f"{where}.{element}"
            )
    status = resource.get("status")
    known = isinstance(status, str) and status in rule.statuses
    if status is not None and rule.statuses and not known:
        allowed = ", ".join(sorted(rule.statuses))
        raise FhirRefusal(422, "code-invalid", f"status must be one of {allowed}", f"{where}.status")
    identifiers = resource.get("identifier", [])
    if not isinstance(identifiers, list) or not all(isinstance(item, dict) for item in identifiers):
        raise FhirRefusal(422, "structure", "identifier must be a list of objects", f"{where}.identifier")
    return resource
