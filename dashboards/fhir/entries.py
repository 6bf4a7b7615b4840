"""Entries of a transaction Bundle → typed requests, checked before anything is written."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any, Final

from dashboards.fhir.checks import check_id, check_resource, check_type
from dashboards.fhir.outcome import FhirRefusal, Json

MOST_ENTRIES: Final = 2000
#: Version of a Task that is made from the log: whoever read it updates what nobody has stored yet.
UNSTORED: Final = 0
_URL: Final = re.compile(r"/?([A-Za-z]+)(?:/([^/?]+))?(?:\?(.+))?")


@dataclass(frozen=True)
class Request:
    """One entry: store a resource.

    ``criteria`` make it conditional; ``resource_id`` is the id of an update; ``version`` is what ``ifMatch`` asks
    for; ``name`` is the entry's ``fullUrl``.
    """

    method: str
    resource_type: str
    resource: Json
    where: str
    resource_id: str | None = None
    criteria: str | None = None
    version: int | None = None
    name: str | None = None


def requests(bundle: object) -> list[Request]:
    """Requests of a transaction, in the order of its entries.

    The resources are copies: references are rewritten later.

    Raises
    ------
    FhirRefusal
        The bundle is no transaction, or an entry cannot be served here.
    """
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise FhirRefusal(400, "structure", "the body must be a Bundle in JSON")
    if bundle.get("type") != "transaction":
        raise FhirRefusal(400, "not-supported", "Bundle.type must be transaction: send one", "Bundle.type")
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise FhirRefusal(400, "structure", "Bundle.entry must be a list", "Bundle.entry")
    if len(entries) > MOST_ENTRIES:
        raise FhirRefusal(413, "too-long", f"a bundle may have {MOST_ENTRIES} entries: split it", "Bundle.entry")
    return [_request(entry, f"Bundle.entry[{index}]") for index, entry in enumerate(entries)]


def _request(entry: Any, where: str) -> Request:
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(request, dict):
        raise FhirRefusal(400, "required", "an entry of a transaction needs a request: add it", f"{where}.request")
    method = request.get("method")
    match = _URL.fullmatch(str(request.get("url", "")))
    if match is None:
        raise FhirRefusal(
            400, "value", "request.url must be Type, Type/id or Type?criteria", f"{where}.request.url"
        )
    resource_type, resource_id, criteria = match.groups()
    if method == "POST" and (resource_id or criteria):
        raise FhirRefusal(400, "value", "a POST names only the type: use ifNoneExist", f"{where}.request.url")
    if method == "POST":
        criteria = request.get("ifNoneExist")
    elif method != "PUT":
        raise FhirRefusal(400, "not-supported", "only POST and PUT are served here", f"{where}.request.method")
    elif (resource_id is None) == (criteria is None):
        raise FhirRefusal(400, "value", "a PUT names an id or criteria: give one of them", f"{where}.request.url")
    if criteria is not None and not isinstance(criteria, str):
        raise FhirRefusal(400, "value", "ifNoneExist must be search criteria", f"{where}.request.ifNoneExist")
    check_type(resource_type)
    if resource_id is not None:
        check_id(resource_id)
    name = entry.get("fullUrl")
    resource = copy.deepcopy(check_resource(entry.get("resource"), resource_type, f"{where}.resource"))
    version = _version(request.get("ifMatch"), where)
    name = name if isinstance(name, str) else None
    return Request(method, resource_type, resource, where, resource_id, criteria, version, name)


def _version(tag: object, where: str) -> int | None:
    if tag is None:
        return None
    if re.fullmatch(r'(?:W/)?"live-[0-9]{1,18}"', str(tag)):
        return UNSTORED
    match = re.fullmatch(r'(?:W/)?"([0-9]{1,18})"', str(tag))
    if match is None:
        raise FhirRefusal(400, "value", 'ifMatch must be W/"version": correct it', f"{where}.request.ifMatch")
    return int(match[1])
