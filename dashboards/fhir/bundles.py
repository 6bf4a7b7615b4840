"""What the store answers → Bundles."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

import orjson

from dashboards.fhir.outcome import Json
from dashboards.fhir.query import Query
from dashboards.fhir.store import Page, Stored

_STATUS: Final = {200: "200 OK", 201: "201 Created"}


def transaction_response(stored: list[Stored], representation: bool) -> Json:
    """Bundle that answers a transaction, an entry for an entry.

    ``representation`` says that the client wants the resources back (``Prefer: return=representation``).
    """
    return {
        "resourceType": "Bundle",
        "type": "transaction-response",
        "entry": [_written(item, representation) for item in stored],
    }


def searchset(base_url: str, wanted: Query, page: Page) -> Json:
    """Bundle of one page of matches, with links to itself and to the next page."""
    kind = f"{base_url}/{wanted.resource_type}"
    links = [{"relation": "self", "url": _url(kind, list(wanted.used))}]
    if page.after is not None:
        kept = [pair for pair in wanted.used if pair[0] != "_after"]
        links.append({"relation": "next", "url": _url(kind, [*kept, ("_after", str(page.after))])})
    bundle: Json = {"resourceType": "Bundle", "type": "searchset", "link": links}
    if page.total is not None:
        bundle["total"] = page.total
    if page.matches:
        bundle["entry"] = [
            {
                "fullUrl": f"{kind}/{match.resource_id}",
                "resource": orjson.Fragment(match.body),
                "search": {"mode": "match"},
            }
            for match in page.matches
        ]
    return bundle


def _written(stored: Stored, representation: bool) -> Json:
    updated = datetime.fromtimestamp(stored.updated / 1000, UTC).isoformat(timespec="milliseconds")
    entry: Json = {
        "response": {
            "status": _STATUS[stored.status],
            "location": stored.location,
            "etag": stored.etag,
            "lastModified": updated.replace("+00:00", "Z"),
        }
    }
    return {"resource": orjson.Fragment(stored.body), **entry} if representation else entry


def _url(path: str, parameters: list[tuple[str, str]]) -> str:
    return f"{path}?{urlencode(parameters)}" if parameters else path
