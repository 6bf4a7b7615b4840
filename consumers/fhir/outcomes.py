"""Answers of a FHIR server → what became of each resource, or the error that says what the writer must do.

Pure. ::

    200 transaction-response            outcome per entry
    400, 409, 412, 413, 422 and others  PermanentRejection: this bundle will never be accepted
    401, 403, 404, 405, 3xx             DestinationUnavailable: a setting is wrong, for every result alike
    408, 429, 502, 503, 504             DestinationUnavailable, with the server's Retry-After
    other 5xx                           TransientFailure: it may be this bundle that the server fails on
    200 that is not FHIR                TransientFailure: a proxy or a login page answered

What a server says about a bundle may quote the patient, so :func:`diagnostics` takes the values that were sent,
and every query string, out again before the text reaches a log or an event.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from consumers.fhir.codes import Json
from consumers.fhir.identity import name_of
from producers.retry_after import retry_after_s
from schemas.errors import DestinationUnavailable, PermanentRejection, ScanstreamError, TransientFailure
from schemas.events import DeliveryStatus, ObjectOutcome

_LONGEST: Final = 160
_SETTING: Final = {401, 403, 404, 405}
_LATER: Final = {408, 429, 502, 503, 504}
#: What is created only once, and changes later.
_JUDGED: Final = frozenset({"DiagnosticReport", "Observation", "Task"})
_REMEDY: Final[dict[int, str]] = {
    409: "another client changed the same resources: replay the result",
    412: "several resources carry the same identifier: merge the duplicates on the server and replay",
    413: "the bundle is larger than the server accepts: raise its limit and replay",
}
_PERMANENT_REMEDY: Final = "compare the bundle with the profiles of the server and replay"


def entries(bundle: Json, answer: object, base_url: str) -> tuple[ObjectOutcome, ...]:
    """Outcome of each entry of a transaction, in its order (FHIR R4 3.1.0.11.3).

    Parameters
    ----------
    bundle
        The transaction that was sent.
    answer
        Parsed body of the answer.
    base_url
        Base of relative locations, without a trailing slash.

    Raises
    ------
    TransientFailure
        The answer is not the response to this transaction.
    """
    given = answer if isinstance(answer, dict) else {}
    responses = given.get("entry")
    if given.get("type") != "transaction-response" or not isinstance(responses, list):
        raise TransientFailure("the FHIR server did not answer with a transaction-response: check its version")
    if len(responses) != len(bundle["entry"]):
        raise TransientFailure("the FHIR server answered another number of entries than were sent: check its log")
    return tuple(
        _entry(sent["resource"], received, base_url)
        for sent, received in zip(bundle["entry"], responses, strict=True)
    )


def _entry(resource: Json, received: Any, base_url: str) -> ObjectOutcome:
    response = received.get("response") if isinstance(received, dict) else None
    response = response if isinstance(response, dict) else {}
    code = re.match(r"\d{3}", str(response.get("status", "")))
    if code is None:
        raise TransientFailure("an entry of the FHIR server's answer has no status: check its version")
    status = int(code.group())
    location = str(response.get("location") or "")
    url = location if "://" in location else f"{base_url}/{location.lstrip('/')}"
    stored = status < 300
    return ObjectOutcome(
        object_type=resource["resourceType"],
        identifier=name_of(resource),
        status=DeliveryStatus.STORED if stored else DeliveryStatus.FAILED,
        url=url.split("/_history/")[0] if location else None,
        status_code=status,
        reason=None if stored else diagnostics(response.get("outcome"), personal_values([resource])),
    )


def raced(bundle: Json, outcomes: Sequence[ObjectOutcome]) -> bool:
    """Whether somebody else made a resource with a status at the same moment: then theirs stands, not ours."""
    return any(
        entry["request"]["method"] == "POST"
        and entry["resource"]["resourceType"] in _JUDGED
        and one.status_code == 200
        for entry, one in zip(bundle["entry"], outcomes, strict=True)
    )


def refusal(
    status: int, headers: Mapping[str, str], answer: object, personal: Iterable[str], now: datetime
) -> ScanstreamError:
    """Error for an answer that is not 200.

    Parameters
    ----------
    status, headers, answer
        HTTP status, headers and parsed body (``None`` when it is not JSON).
    personal
        Values that must not be repeated.
    now
        Current time, for a ``Retry-After`` that is a date.
    """
    reason = diagnostics(answer, personal)
    said = f"the FHIR server answered {status}" + (f" ({reason})" if reason else "")
    if status in _LATER:
        wait = retry_after_s(headers.get("retry-after"), now)
        return DestinationUnavailable(f"{said}: delivery goes on when it answers again", wait)
    if status in _SETTING or status < 400:
        return DestinationUnavailable(f"{said}: check SCANSTREAM_FHIR_BASE_URL and SCANSTREAM_FHIR_TOKEN")
    if status >= 500:
        return TransientFailure(f"{said}: look into its log for what it failed on")
    return PermanentRejection(f"{said}: {_REMEDY.get(status, _PERMANENT_REMEDY)}", status)


def diagnostics(outcome: object, personal: Iterable[str]) -> str | None:
    """Short text of an OperationOutcome without query strings and without the values of ``personal``."""
    if not isinstance(outcome, dict) or not isinstance(outcome.get("issue"), list):
        return None
    texts = []
    for issue in outcome["issue"]:
        if not isinstance(issue, dict) or issue.get("severity") not in ("error", "fatal"):
            continue
        details = issue.get("details")
        said = issue.get("diagnostics") or (details.get("text") if isinstance(details, dict) else None)
        where = [place for place in issue.get("expression") or [] if isinstance(place, str)]
        texts.append(" ".join(filter(None, [str(issue.get("code", "")), *where[:1], said and str(said)])))
    text = re.sub(r"\?\S+", "?…", "; ".join(texts))
    for value in sorted(set(personal), key=len, reverse=True):
        text = text.replace(value, "…")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def personal_values(resources: Iterable[Json]) -> set[str]:
    """Every value in these resources that could tell who the patient is."""
    found: set[str] = set()
    for resource in resources:
        subjects = [resource.get("subject") or {}, resource.get("for") or {}]
        # a server adds the patient's name to a reference, and may use the patient's number as an id
        found |= {str(one["display"]) for one in subjects if one.get("display")}
        found |= {str(one["reference"]).rpartition("/")[2] for one in subjects if one.get("reference")}
        identifiers = [one.get("identifier") or {} for one in [*subjects, *(resource.get("basedOn") or [])]]
        identifiers += [item for item in resource.get("identifier") or [] if "type" in item]
        found |= {str(item["value"]) for item in identifiers if item.get("value")}
        if resource.get("resourceType") == "ImagingStudy":
            found |= {resource[name] for name in ("description",) if name in resource}
    return found - {""}
