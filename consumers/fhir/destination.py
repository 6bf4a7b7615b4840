"""Result, or a verdict on it → the FHIR server: look at what it has, make one transaction, send it.

Guarantee: idempotent, and nothing is set back. Identifiers come from the task and the finding, so what is sent
again updates what is there; what a radiologist has judged is never touched by the model's preliminary result; and
of two writers that race, the second looks again before it writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, Protocol

from pydicom import Dataset

from consumers.destination import from_source
from consumers.fhir import bundle, identity, links, outcomes, study
from consumers.fhir.client import FhirClient
from consumers.fhir.codes import Json
from consumers.fhir.known import Kept, Known
from consumers.fhir.lifecycle import CANCELLED
from consumers.fhir.links import Systems
from consumers.fhir.lookup import Lookup
from consumers.fhir.task import COMPLETED
from producers.claim_check import ClaimCheck
from producers.process import Process
from schemas.destinations import FhirSettings, WriterSettings
from schemas.errors import InvalidMessage, PermanentRejection, TransientFailure
from schemas.events import Adjudication, DeliveryStatus, InferenceResult, ObjectOutcome, ResultOutcome
from schemas.settings import secret_of
from schemas.terminology import Language

#: How often a transaction that met another writer's is made anew.
TRIES: Final = 5
_MET: Final = frozenset({409, 412})

Outcomes = tuple[ObjectOutcome, ...]


class Headers(Protocol):
    """Where attributes of source instances come from."""

    def fetch_headers(
        self, retrieve_url: str, series_instance_uid: str, sop_instance_uids: Sequence[str]
    ) -> list[Dataset]:
        """Attributes, without pixels, of these instances in this order."""
        ...


class FhirDestination:
    """The FHIR R4 server as a destination.

    Parameters
    ----------
    client
        Client of the server.
    headers
        Where the header of a source instance comes from; events carry no patient identity.
    systems
        Namespaces of Patient IDs and accession numbers.
    language
        Of texts for people.
    """

    name = "fhir"
    #: A run that failed is a Task that failed; there is no report of it.
    wants_failures = True

    def __init__(self, client: FhirClient, headers: Headers, systems: Systems, language: Language) -> None:
        self._client = client
        self._headers = headers
        self._systems = systems
        self._language = language
        self._lookup = Lookup(client)

    def deliver(self, result: InferenceResult) -> Outcomes:
        """Send the preliminary report of a result; see :class:`consumers.destination.Destination`.

        Raises
        ------
        InvalidMessage
            The result names no source instance, or its parts contradict each other.
        """
        if result.outcome is ResultOutcome.COULD_NOT_RUN:
            return self._deliver_failure(result)
        header = self._header(result)
        found = self._lookup.resolved(links.from_header(result, header, self._systems))
        imaging_study = study.imaging_study(result, header, found, self._systems.accession)

        def plan() -> Json | Outcomes:
            known = self._lookup.known(result)
            reason = _not_wanted(known)
            if reason is not None:
                return self._left(result, known, reason)
            return bundle.delivery(
                result, found, known, self._language, self._client.base_url, imaging_study=imaging_study
            )

        return self._write(plan)

    def review(self, adjudication: Adjudication) -> Outcomes:
        """Make a verdict known; see :class:`consumers.destination.ReviewedDestination`.

        The verdict changes the report that is there. Where it never arrived, it is made first, so that a verdict
        and its Provenance are always one transaction with an update of a known version.

        Raises
        ------
        InvalidMessage
            The verdict names a finding that its result does not have.
        """
        result = adjudication.result
        if result is None:
            raise InvalidMessage("the verdict carries no result: update the API before the writers")

        def plan() -> Json | Outcomes:
            known = self._lookup.known(result, adjudication)
            if known.report is None and not known.later:
                self.deliver(_unjudged(result))
                known = self._lookup.known(result, adjudication)
            if known.report is None:
                return self._left(result, known, "the report of a later revision is there")
            if known.recorded:
                return (self._there(known.report),)
            issued = _issued(known.report)
            if known.reviewed and issued is not None and issued > adjudication.occurred_at:
                return self._left(result, known, "a later verdict is there")
            found = links.from_report(known.report.resource)
            return bundle.delivery(
                result, found, known, self._language, self._client.base_url, verdict=adjudication
            )

        return self._write(plan)

    def probe(self) -> None:
        """Ask the server for its capabilities."""
        self._client.probe()

    def close(self) -> None:
        """Close the connections to the server."""
        self._client.close()

    def _deliver_failure(self, result: InferenceResult) -> Outcomes:
        # the images may be what could not be read, so nothing is asked of them
        found = self._lookup.resolved(links.without_header(result, self._systems))

        def plan() -> Json | Outcomes:
            task = self._lookup.task(result)
            if task is not None and task.status == COMPLETED:
                return (self._there(task, DeliveryStatus.SKIPPED, "the task has completed since"),)
            return bundle.failure(result, found, Known(task=task), self._language, self._client.base_url)

        return self._write(plan)

    def _header(self, result: InferenceResult) -> Dataset:
        if not result.sop_instance_uids:
            raise InvalidMessage("the result names no source instance: correct the worker's preprocessing")
        first = result.sop_instance_uids[:1]
        with from_source():
            header = self._headers.fetch_headers(result.retrieve_url, result.series_instance_uid, first)[0]
        if identity.text_of(header, "StudyInstanceUID") not in (None, result.study_instance_uid):
            raise InvalidMessage("the source header is of another study: check the retrieve URL of the result")
        return header

    def _write(self, plan: Callable[[], Json | Outcomes]) -> Outcomes:
        """Send what is planned; plan anew where another writer was faster."""
        for _ in range(TRIES - 1):
            planned = plan()
            if isinstance(planned, tuple):
                return planned
            try:
                written = self._client.transact(planned)
            except PermanentRejection as refused:
                if refused.code not in _MET:
                    raise
            else:
                if not outcomes.raced(planned, written):
                    return written
        planned = plan()
        if isinstance(planned, tuple):
            return planned
        written = self._client.transact(planned)
        if outcomes.raced(planned, written):
            raise TransientFailure(
                "the FHIR server has resources of this result that its searches do not give: wait until it has "
                "indexed them, or give the writer the right to read them"
            )
        return written

    def _left(self, result: InferenceResult, known: Known, reason: str) -> Outcomes:
        if known.report is not None:
            return (self._there(known.report, DeliveryStatus.SKIPPED, reason),)
        name = identity.report_identifier(result.task_id)["value"]
        return (ObjectOutcome("DiagnosticReport", name, DeliveryStatus.SKIPPED, reason=reason),)

    def _there(
        self, kept: Kept, status: DeliveryStatus = DeliveryStatus.STORED, reason: str | None = None
    ) -> ObjectOutcome:
        kind, url = kept.resource["resourceType"], f"{self._client.base_url}/{kept.reference}"
        return ObjectOutcome(kind, identity.name_of(kept.resource), status, url, 200, reason)


def _unjudged(result: InferenceResult) -> InferenceResult:
    findings = tuple(replace(finding, decision=None) for finding in result.findings)
    return replace(result, findings=findings, decision=None)


def _not_wanted(known: Known) -> str | None:
    if known.later and (known.report is None or known.report.status == CANCELLED):
        return "the report of a later revision is there"
    return "a radiologist has judged it" if known.reviewed else None


def _issued(kept: Kept) -> datetime | None:
    """When a report was made, or ``None`` where somebody else has changed it and does not say."""
    try:
        issued = datetime.fromisoformat(kept.resource.get("issued", ""))
    except ValueError:
        return None
    return issued if issued.tzinfo is not None else None


def build(process: Process) -> FhirDestination:
    """Destination from the settings of the environment.

    Parameters
    ----------
    process
        The writer's process.

    Raises
    ------
    ConfigurationError
        The base URL is not an HTTP URL, or a secret cannot be read.
    """
    settings = FhirSettings()
    token = secret_of(settings.token, settings.token_file, "SCANSTREAM_FHIR_TOKEN")
    client = FhirClient(settings.base_url, token, settings.timeout_s, f"scanstream {process.name}")
    systems = Systems(settings.patient_identifier_system, settings.accession_identifier_system)
    return FhirDestination(client, ClaimCheck(settings.timeout_s), systems, WriterSettings().language)
