"""Searches on a FHIR server → what it has of a result, and the patient and order that a result belongs to.

Everything is found by identifier. Nothing is made here: a patient or an order that the server does not know stays
a logical reference. A server may leave out of a search what it does not know (FHIR R4 3.1.1.2), so nothing that it
gives counts unless it carries what was asked for: else the reports of other studies would be cancelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from consumers.fhir import identity
from consumers.fhir.client import FhirClient
from consumers.fhir.codes import Json
from consumers.fhir.known import Kept, Known
from consumers.fhir.lifecycle import CANCELLED, settled
from consumers.fhir.links import Links
from consumers.fhir.report import revision_of
from schemas.errors import PermanentRejection
from schemas.events import Adjudication, InferenceResult

#: Identifiers of one search, so that no server refuses it for its length.
_AT_ONCE: Final = 50


class Lookup:
    """What a server has.

    Parameters
    ----------
    client
        Client of the server.
    """

    def __init__(self, client: FhirClient) -> None:
        self._client = client

    def known(self, result: InferenceResult, verdict: Adjudication | None = None) -> Known:
        """What the server has of a result, and of earlier and later revisions of it.

        Raises
        ------
        PermanentRejection
            Two resources carry an identifier that only one may have.
        """
        own = identity.report_identifier(result.task_id)
        line = identity.line_identifier(result.study_instance_uid, result.model.name)
        reports = self._by_identifier("DiagnosticReport", [own, line])
        report = _one([one for one in reports if _carries(one, own)])
        others = [one for one in reports if report is None or one.reference != report.reference]
        before = [one for one in others if _revision(one) < result.revision]
        earlier = tuple(one for one in before if not settled(one.status))
        return Known(
            report=report,
            observations=self._observations(result) if report is not None else {},
            task=self.task(result),
            earlier=earlier,
            earlier_observations=tuple(self._held(earlier)),
            replaced=tuple(one for one in before if one.status == CANCELLED),
            later=any(_revision(one) > result.revision for one in others),
            recorded=verdict is not None and self._recorded(verdict),
        )

    def task(self, result: InferenceResult) -> Kept | None:
        """Task of a result, where the server has it."""
        return _one(self._by_identifier("Task", [identity.task_identifier(result.task_id)]))

    def resolved(self, links: Links) -> Links:
        """Links whose patient and orders are those that the server has, where it has exactly one of them."""
        subject = self._reference(links.subject) if links.subject else None
        return replace(links, subject=subject, based_on=tuple(map(self._reference, links.based_on)))

    def _reference(self, logical: Json) -> Json:
        if "identifier" not in logical:
            return logical
        kind = logical["type"]
        # a server that has no such resources, or does not let us see them, takes a logical reference
        asked = logical["identifier"]
        given = self._client.search(kind, "identifier", [identity.token(asked)], optional=True)
        found = [one for one in given if _carries(Kept(one), asked)]
        return {**logical, "reference": f"{kind}/{found[0]['id']}"} if len(found) == 1 else logical

    def _observations(self, result: InferenceResult) -> dict[str, Kept]:
        names = [*(finding.tracking_uid for finding in result.findings), "", "quality"]
        wanted = [identity.observation_identifier(result.task_id, name) for name in names]
        found = self._by_identifier("Observation", wanted)
        return {
            one["value"]: kept
            for one in wanted
            if (kept := _one([item for item in found if _carries(item, one)])) is not None
        }

    def _held(self, reports: Iterable[Kept]) -> Iterator[Kept]:
        references = [link.get("reference", "") for one in reports for link in one.resource.get("result", [])]
        ids = [reference.rpartition("/")[2] for reference in references if reference]
        for some in _chunks(ids):
            kept = [Kept(one) for one in self._client.search("Observation", "_id", some) if one["id"] in some]
            yield from (one for one in kept if not settled(one.status))

    def _recorded(self, verdict: Adjudication) -> bool:
        tag = identity.record_tag(verdict.event_id)
        found = self._client.search("Provenance", "_tag", [identity.tag_token(tag)])
        tags = [given for one in found for given in one.get("meta", {}).get("tag", [])]
        return any((one.get("system"), one.get("code")) == (tag["system"], tag["code"]) for one in tags)

    def _by_identifier(self, kind: str, identifiers: Sequence[Json]) -> list[Kept]:
        tokens = [identity.token(one) for one in identifiers]
        found = [Kept(one) for some in _chunks(tokens) for one in self._client.search(kind, "identifier", some)]
        wanted = [kept for kept in found if any(_carries(kept, one) for one in identifiers)]
        # a report that carries both of its names may come with each of them
        return list({kept.reference: kept for kept in wanted}.values())


def _chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))


def _carries(kept: Kept, identifier: Json) -> bool:
    wanted = (identifier["system"], identifier["value"])
    return any((one.get("system"), one.get("value")) == wanted for one in kept.resource.get("identifier", []))


def _one(found: Sequence[Kept]) -> Kept | None:
    if len(found) > 1:
        kind = found[0].resource["resourceType"]
        raise PermanentRejection(
            f"the FHIR server has {len(found)} {kind} resources of one identifier: merge them there and replay",
            412,
        )
    return found[0] if found else None


def _revision(kept: Kept) -> int:
    """Revision of a report; one that does not say is neither earlier nor later than any."""
    return revision_of(kept.resource) or 0
