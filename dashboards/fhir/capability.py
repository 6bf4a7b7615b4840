"""What this facade serves → CapabilityStatement (FHIR R4 3.1.0.6)."""

from __future__ import annotations

from typing import Final

from dashboards.fhir.checks import RULES
from dashboards.fhir.outcome import Json
from dashboards.fhir.parameters import PARAMETERS

FHIR_VERSION: Final = "4.0.1"
_PUBLISHED: Final = "2026-11-22"
_LAST_UPDATED: Final = {"name": "_lastUpdated", "type": "date"}
_ID: Final = {"name": "_id", "type": "token"}


def statement(base_url: str) -> Json:
    """CapabilityStatement of the facade at ``base_url``."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": _PUBLISHED,
        "kind": "instance",
        "software": {"name": "scanstream"},
        "implementation": {"description": "Results of radiology AI models", "url": base_url},
        "fhirVersion": FHIR_VERSION,
        "format": ["application/fhir+json", "json"],
        "rest": [
            {
                "mode": "server",
                "documentation": "Writing goes through transactions; nothing is deleted, every version is kept.",
                "resource": [_resource(name) for name in sorted(RULES)],
                "interaction": [{"code": "transaction"}],
            }
        ],
    }


def _resource(resource_type: str) -> Json:
    if resource_type == "Task":
        return _task()
    return _kept(resource_type)


def _task() -> Json:
    """Tasks may also be ordered and changed one by one, and are there before anybody has stored them."""
    kept = _kept("Task")
    codes = ("read", "vread", "search-type", "create", "update", "patch")
    return {
        **kept,
        "interaction": [{"code": code} for code in codes],
        "documentation": "Made from the log until its result is stored. POST orders an inference; PUT and PATCH "
        "ask for status cancelled, on-hold or ready, or for a more urgent priority.",
    }


def _kept(resource_type: str) -> Json:
    parameters = [{"name": name, "type": p.kind} for name, p in sorted(PARAMETERS[resource_type].items())]
    return {
        "type": resource_type,
        "interaction": [{"code": code} for code in ("read", "vread", "search-type", "create", "update")],
        "documentation": "Create and update only inside a transaction.",
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalUpdate": True,
        "conditionalRead": "full-support",
        "referencePolicy": ["literal", "logical", "local"],
        "searchParam": [_ID, _LAST_UPDATED, *parameters],
    }
