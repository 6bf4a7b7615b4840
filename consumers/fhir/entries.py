"""Resources → entries of a transaction: created once, or updated where nobody else has in between. Pure."""

from __future__ import annotations

from consumers.fhir import identity
from consumers.fhir.codes import Json
from consumers.fhir.known import Kept
from consumers.fhir.text import fit


class Entries:
    """Entries of one transaction, in their order.

    Parameters
    ----------
    base_url
        Service base URL, of the resources that are there.
    """

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._entries: list[Json] = []

    def create(self, resource: Json) -> Json:
        """Make a resource unless one of this name is there; returns a reference to it."""
        kind = resource["resourceType"]
        fitting = fit(resource)
        name = identity.entry_name(kind, identity.name_of(fitting))
        request = {"method": "POST", "url": kind, "ifNoneExist": identity.criteria(fitting)}
        self._entries.append({"fullUrl": name, "resource": fitting, "request": request})
        return {"reference": name, "type": kind}

    def put(self, resource: Json, kept: Kept | None) -> Json:
        """Make a resource, or update the one that is there; returns a reference to it."""
        if kept is None:
            return self.create(resource)
        request = {"method": "PUT", "url": kept.reference}
        if kept.etag is not None:
            request["ifMatch"] = kept.etag
        same = {**fit(resource), "id": kept.resource["id"]}
        self._entries.append(
            {"fullUrl": f"{self._base_url}/{kept.reference}", "resource": same, "request": request}
        )
        return reference_to(kept)

    def bundle(self) -> Json:
        """The transaction."""
        return {"resourceType": "Bundle", "type": "transaction", "entry": self._entries}


def reference_to(kept: Kept) -> Json:
    """Reference to a resource that is there."""
    return {"reference": kept.reference, "type": kept.resource["resourceType"]}
