"""Result → the FHIR server: fetch the source's header, make one transaction, send it.

Guarantee: idempotent. Identifiers come from the task and the finding, so a result that is delivered again updates
what is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pydicom import Dataset

from consumers.destination import from_source
from consumers.fhir.bundle import transaction
from consumers.fhir.client import FhirClient
from producers.claim_check import ClaimCheck
from producers.process import Process
from schemas.destinations import FhirSettings
from schemas.errors import InvalidMessage
from schemas.events import InferenceResult, ObjectOutcome


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
    patient_system
        ``Identifier.system`` of Patient IDs.
    """

    name = "fhir"
    wants_failures = False

    def __init__(self, client: FhirClient, headers: Headers, patient_system: str) -> None:
        self._client = client
        self._headers = headers
        self._patient_system = patient_system

    def deliver(self, result: InferenceResult) -> tuple[ObjectOutcome, ...]:
        """Send the report of a result; see :class:`consumers.destination.Destination`.

        Raises
        ------
        InvalidMessage
            The result names no source instance, or its parts contradict each other.
        """
        if not result.sop_instance_uids:
            raise InvalidMessage("the result names no source instance: correct the worker's preprocessing")
        first = result.sop_instance_uids[:1]
        with from_source():
            header = self._headers.fetch_headers(result.retrieve_url, result.series_instance_uid, first)[0]
        return self._client.transact(transaction(result, header, self._patient_system))

    def probe(self) -> None:
        """Ask the server for its capabilities."""
        self._client.probe()

    def close(self) -> None:
        """Close the connections to the server."""
        self._client.close()


def build(process: Process) -> FhirDestination:
    """Destination from the settings of the environment.

    Parameters
    ----------
    process
        The writer's process.

    Raises
    ------
    ConfigurationError
        The base URL is not an HTTP URL.
    """
    settings = FhirSettings()
    token = settings.token.get_secret_value() if settings.token else None
    client = FhirClient(settings.base_url, token, settings.timeout_s, f"scanstream {process.name}")
    return FhirDestination(client, ClaimCheck(settings.timeout_s), settings.patient_identifier_system)
