"""References inside a transaction → references to what is stored (FHIR R4 3.1.0.11.2).

Only ``Reference.reference`` is rewritten: identifiers may hold UUIDs of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dashboards.fhir.outcome import FhirRefusal, Json

#: Search of one type by a query string → ids that match, at most two.
Find = Callable[[str, str], list[str]]


def walk(value: Any) -> Iterator[Json]:
    """Every object inside a resource that has a literal reference."""
    if isinstance(value, list):
        for item in value:
            yield from walk(item)
    elif isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value
        for item in value.values():
            yield from walk(item)


def resolve(resource: Json, names: Mapping[str, str], find: Find) -> None:
    """Replace entry names and conditional references of a resource, in place.

    Parameters
    ----------
    resource
        Resource of a transaction entry.
    names
        ``fullUrl`` of an entry → ``Type/id``.
    find
        Search for conditional references, among what was stored before this transaction.

    Raises
    ------
    FhirRefusal
        400 when a name is in no entry, 404 or 412 when a conditional reference matches none or several.
    """
    for element in walk(resource):
        target = element["reference"]
        if target in names:
            element["reference"] = names[target]
        elif target.startswith(("urn:uuid:", "urn:oid:")):
            raise FhirRefusal(
                400, "invalid", "a reference names an entry that is not in this bundle: add the entry"
            )
        elif "?" in target and "://" not in target:
            kind, _, criteria = target.partition("?")
            found = find(kind, criteria)
            if len(found) != 1:
                status, code = (404, "not-found") if not found else (412, "multiple-matches")
                raise FhirRefusal(
                    status,
                    code,
                    f"a conditional reference to {kind[:40]} matches {'several' if found else 'nothing'}",
                )
            element["reference"] = f"{kind}/{found[0]}"
