"""Small transactions for the facade's tests."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

Json = dict[str, Any]


def observation(value: str = "1", status: str = "preliminary", **elements: Any) -> Json:
    """Observation with an identifier."""
    return {
        "resourceType": "Observation",
        "identifier": [{"system": "urn:x", "value": value}],
        "status": status,
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "12738006"}]},
        **elements,
    }


def create(resource: Json, criteria: str | None = None, name: str | None = None) -> Json:
    """POST entry, conditional when there are criteria."""
    request = {"method": "POST", "url": resource["resourceType"]}
    if criteria is not None:
        request["ifNoneExist"] = criteria
    return {"fullUrl": name or uuid4().urn, "resource": resource, "request": request}


def update(resource: Json, criteria: str = "", path: str = "", name: str | None = None, **request: str) -> Json:
    """PUT entry, by criteria or by id."""
    url = f"{resource['resourceType']}{'?' + criteria if criteria else '/' + path}"
    return {
        "fullUrl": name or uuid4().urn,
        "resource": resource,
        "request": {"method": "PUT", "url": url, **request},
    }


def transaction(*entries: Json) -> Json:
    """Transaction Bundle."""
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}
