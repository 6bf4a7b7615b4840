"""What a FHIR server has of a result already, as its searches answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from consumers.fhir.codes import Json
from consumers.fhir.lifecycle import settled


@dataclass(frozen=True)
class Kept:
    """A resource on the server."""

    resource: Json

    @property
    def reference(self) -> str:
        """Relative reference (FHIR R4 2.3.0.1)."""
        return f"{self.resource['resourceType']}/{self.resource['id']}"

    @property
    def etag(self) -> str | None:
        """Entity tag of this version, for ``ifMatch``; ``None`` where the server keeps no versions."""
        version = self.resource.get("meta", {}).get("versionId")
        return None if version is None else f'W/"{version}"'

    @property
    def status(self) -> str | None:
        """Its status."""
        status = self.resource.get("status")
        return status if isinstance(status, str) else None


@dataclass(frozen=True)
class Known:
    """What is there of one result.

    ``observations`` are by the value of their first identifier. ``earlier`` are unfinished reports of the same
    model about earlier revisions, ``earlier_observations`` what they hold, and ``replaced`` those that were
    cancelled; ``later`` says that a report of a later revision is there. ``recorded`` says that the Provenance of
    the verdict at hand is there.
    """

    report: Kept | None = None
    observations: Mapping[str, Kept] = field(default_factory=lambda: MappingProxyType({}))
    task: Kept | None = None
    earlier: tuple[Kept, ...] = ()
    earlier_observations: tuple[Kept, ...] = ()
    replaced: tuple[Kept, ...] = ()
    later: bool = False
    recorded: bool = False

    @property
    def reviewed(self) -> bool:
        """Whether somebody has judged any of it."""
        kept = [*([self.report] if self.report else []), *self.observations.values()]
        return any(settled(one.status) for one in kept)


NOTHING = Known()
