"""FHIR Task → the inference task that it is about, by its identifier. Pure.

The Task of an inference task has the same id for ever, whether it is made from the log or was stored by the
writer.
"""

from __future__ import annotations

import uuid

from consumers.fhir.identity import TASK
from dashboards.fhir.outcome import Json


def task_id_of(resource: Json) -> str | None:
    """Id of the inference task, or ``None`` where the resource is about none."""
    if resource.get("resourceType") != "Task":
        return None
    for identifier in resource.get("identifier", []):
        if identifier.get("system") == TASK:
            try:
                return str(uuid.UUID(str(identifier.get("value"))))
            except ValueError:
                return None
    return None
