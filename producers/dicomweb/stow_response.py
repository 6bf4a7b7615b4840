"""Outcome per instance → status and body of a Store Instances Response (PS3.18 10.5.3, annex I.2). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from producers.dicomweb.dicom_json import Json, value
from producers.store import PutOutcome, Status

_RETRIEVE_URL = "00081190"
_FAILED_SOP_SEQUENCE = "00081198"
_REFERENCED_SOP_SEQUENCE = "00081199"
_OTHER_FAILURES_SEQUENCE = "0008119A"
_WARNING_REASON = "00081196"
_FAILURE_REASON = "00081197"
_REFERENCED_SOP_CLASS_UID = "00081150"
_REFERENCED_SOP_INSTANCE_UID = "00081155"


def status_of(outcomes: Sequence[PutOutcome]) -> HTTPStatus:
    """200 all stored, 202 some or with a warning, 409 none, 503 when nothing but space was missing."""
    stored = sum(outcome.ok for outcome in outcomes)
    if all(outcome.status is Status.SUCCESS for outcome in outcomes):
        return HTTPStatus.OK
    if stored:
        return HTTPStatus.ACCEPTED
    if all(outcome.status is Status.OUT_OF_RESOURCES for outcome in outcomes):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.CONFLICT


def body_of(outcomes: Sequence[PutOutcome], base_url: str, addressed_study: str | None) -> Json:
    """Data set of the response.

    Parameters
    ----------
    outcomes
        One per part, in the order of the request.
    base_url
        Root of the DICOMweb service.
    addressed_study
        Study that the path of the request names, if it does.
    """
    body: Json = {}
    stored = [outcome for outcome in outcomes if outcome.ok]
    failed = [outcome for outcome in outcomes if not outcome.ok and _is_identified(outcome)]
    unidentified = [outcome for outcome in outcomes if not outcome.ok and not _is_identified(outcome)]
    studies = {str(outcome.study_instance_uid) for outcome in stored} | (
        {addressed_study} if addressed_study else set()
    )
    if len(studies) == 1:
        body[_RETRIEVE_URL] = value("UR", f"{base_url}/studies/{studies.pop()}")
    if failed:
        items = [_reference(outcome) | _reason(outcome) for outcome in failed]
        body[_FAILED_SOP_SEQUENCE] = value("SQ", *items)
    if stored:
        items = [_reference(outcome) | _stored(outcome, base_url) for outcome in stored]
        body[_REFERENCED_SOP_SEQUENCE] = value("SQ", *items)
    if unidentified:
        body[_OTHER_FAILURES_SEQUENCE] = value("SQ", *(_reason(outcome) for outcome in unidentified))
    return body


def _is_identified(outcome: PutOutcome) -> bool:
    return outcome.sop_instance_uid is not None and outcome.sop_class_uid is not None


def _reference(outcome: PutOutcome) -> dict[str, Any]:
    return {
        _REFERENCED_SOP_CLASS_UID: value("UI", str(outcome.sop_class_uid)),
        _REFERENCED_SOP_INSTANCE_UID: value("UI", str(outcome.sop_instance_uid)),
    }


def _stored(outcome: PutOutcome, base_url: str) -> dict[str, Any]:
    """Where it is, and a warning when what is there is not what was sent (PS3.18 I.2.2)."""
    found = {_RETRIEVE_URL: value("UR", _url(base_url, outcome))}
    if outcome.status is not Status.SUCCESS:
        found[_WARNING_REASON] = value("US", int(outcome.status))
    return found


def _reason(outcome: PutOutcome) -> dict[str, Any]:
    return {_FAILURE_REASON: value("US", int(outcome.status))}


def _url(base_url: str, outcome: PutOutcome) -> str:
    return (
        f"{base_url}/studies/{outcome.study_instance_uid}/series/{outcome.series_instance_uid}"
        f"/instances/{outcome.sop_instance_uid}"
    )
