"""Result or verdict → JSON body of a callback, the same bytes each time. Pure.

``docs/callback.schema.json`` describes it. It tells what was found and where the study is, and nothing of whom:
no name, no identifiers of patient or order, no account of a reviewer.
"""

from __future__ import annotations

import json
import math
from typing import Any

from schemas.errors import InvalidMessage
from schemas.events import Adjudication, Code, Finding, InferenceResult, Measurement
from schemas.instants import rfc3339


def body_of(result: InferenceResult, verdict: Adjudication | None = None) -> bytes:
    """Body of a callback.

    Parameters
    ----------
    result
        The result, or as it stands after ``verdict``.
    verdict
        What a radiologist decided, if that is the occasion.

    Raises
    ------
    InvalidMessage
        A number is infinite or none, which JSON cannot say.
    """
    about = verdict or result
    document = {
        "type": "result.reviewed" if verdict else "result.created",
        "timestamp": rfc3339(about.occurred_at),
        "data": {
            "event_id": about.event_id,
            "result_id": result.event_id,
            "task_id": result.task_id,
            "study_instance_uid": result.study_instance_uid,
            "series_instance_uid": result.series_instance_uid,
            "revision": result.revision,
            "priority": result.priority.value,
            "outcome": result.outcome.value,
            "reason": result.reason,
            "decision": None if result.decision is None else result.decision.value,
            "model": {
                "name": result.model.name,
                "version": result.model.version,
                "manufacturer": result.model.manufacturer,
                "udi": result.model.udi,
                "sha256": result.model.sha256,
            },
            "findings": [_finding(one) for one in result.findings],
            "warnings": [*result.warnings, *result.image_quality_warnings, *result.out_of_domain_warnings],
            "limitations": result.limitations,
            "links": {"study": result.retrieve_url},
        },
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "finding_id": finding.finding_id,
        "tracking_uid": finding.tracking_uid,
        "finding_type": finding.finding_type,
        "code": _code(finding.code),
        "category": finding.category.value,
        "probability": None if finding.probability is None else _number(finding.probability, "a probability"),
        "site": None if finding.site is None else _code(finding.site),
        "laterality": None if finding.laterality is None else finding.laterality.value,
        "measurements": [_measurement(one) for one in finding.measurements],
        "characteristics": [
            {"name": _code(one.name), "value": _code(one.value)} for one in finding.characteristics
        ],
        "evidence": list(finding.evidence),
        "decision": None if finding.decision is None else finding.decision.value,
    }


def _measurement(measurement: Measurement) -> dict[str, Any]:
    return {
        "code": _code(measurement.code),
        "value": _number(measurement.value, measurement.code.meaning),
        "unit": _code(measurement.unit),
        "method": None if measurement.method is None else _code(measurement.method),
    }


def _number(value: float, what: str) -> float:
    if not math.isfinite(value):
        raise InvalidMessage(f"{what} is {value}: correct the model's postprocessing")
    return value


def _code(code: Code) -> dict[str, str]:
    return {"value": code.value, "scheme": code.scheme, "display": code.meaning}
