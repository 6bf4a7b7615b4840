"""Result or verdict → the HL7 listener of a RIS or EHR, as one ORU^R01 that it acknowledges.

Guarantee: idempotent as far as HL7 allows. A second delivery is the same message, byte for byte, under the same
control id and order number, so a receiver that keeps one report per order number (OBR-3) keeps one. A receiver
cannot be asked what it holds: an operator's replay of a result whose verdict was sent meanwhile sends the old
status again, with its old time in OBR-22, and a receiver that does not compare them shows it until the verdict is
replayed too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from pydicom import Dataset

from consumers.destination import from_source
from consumers.oru.acknowledgement import error_of
from consumers.oru.link import Link
from consumers.oru.message import oru
from producers.claim_check import ClaimCheck
from producers.hl7.client import Listener, client_tls
from producers.process import Process
from schemas.destinations import OruSettings, WriterSettings
from schemas.errors import ConfigurationError, InvalidMessage
from schemas.events import Adjudication, DeliveryStatus, InferenceResult, ObjectOutcome
from schemas.terminology import Language

OBJECT_TYPE: Final = "ORU^R01"
_SETTINGS: Final = "SCANSTREAM_ORU"


class Headers(Protocol):
    """Where attributes of source instances come from."""

    def fetch_headers(
        self, retrieve_url: str, series_instance_uid: str, sop_instance_uids: Sequence[str]
    ) -> list[Dataset]:
        """Attributes, without pixels, of these instances in this order."""
        ...

    def fetch_study_header(self, retrieve_url: str) -> Dataset:
        """Attributes, without pixels, of any one instance of a study."""
        ...


class OruDestination:
    """An HL7 v2 listener as a destination.

    Parameters
    ----------
    name
        Of the destination, in outcome events and metrics.
    link
        Way to the listener.
    headers
        Where the header of a source instance comes from; events carry no patient identity.
    settings
        Names of sender and receiver.
    language
        Of texts for people.
    """

    wants_failures = True

    def __init__(self, name: str, link: Link, headers: Headers, settings: OruSettings, language: Language) -> None:
        self.name = name
        self._link = link
        self._headers = headers
        self._settings = settings
        self._language = language

    def deliver(self, result: InferenceResult) -> tuple[ObjectOutcome, ...]:
        """Send a result, or why there is none; see :class:`consumers.destination.Destination`.

        Raises
        ------
        InvalidMessage
            The images have no Patient ID.
        """
        return self._send(result)

    def review(self, adjudication: Adjudication) -> tuple[ObjectOutcome, ...]:
        """Send the result as it stands after a verdict, under the same order number.

        Raises
        ------
        InvalidMessage
            The verdict does not carry the result, or as :meth:`deliver`.
        """
        if adjudication.result is None:
            raise InvalidMessage("the verdict does not carry its result: replay it with a newer API")
        return self._send(adjudication.result, adjudication)

    def probe(self) -> None:
        """Connect; HL7 has no message that asks for nothing."""
        self._link.probe()

    def close(self) -> None:
        """Close the connections to the listener."""
        self._link.close()

    def _send(self, result: InferenceResult, verdict: Adjudication | None = None) -> tuple[ObjectOutcome, ...]:
        with from_source():
            header = self._header(result)
        message = oru(result, header, self._settings, self._language, verdict)
        answer = self._link.exchange(message.control_id, message.payload)
        error = error_of(answer, message.personal)
        if error is not None:
            raise error
        stored = ObjectOutcome(OBJECT_TYPE, message.control_id, DeliveryStatus.STORED, reason=answer.code)
        return (stored,)

    def _header(self, result: InferenceResult) -> Dataset:
        first = result.sop_instance_uids[:1]
        if not first:
            # a run that failed early names no image
            return self._headers.fetch_study_header(result.retrieve_url)
        return self._headers.fetch_headers(result.retrieve_url, result.series_instance_uid, first)[0]


def build(process: Process) -> OruDestination:
    """Destination from the settings of the environment.

    Parameters
    ----------
    process
        The writer's process.

    Raises
    ------
    ConfigurationError
        TLS is set up in part, or a file of it cannot be used.
    """
    del process  # an MLLP sender does not introduce itself outside its messages
    settings, writer = OruSettings(), WriterSettings()
    link = Link(listener_of(settings), settings.timeout_s)
    claims = ClaimCheck(settings.timeout_s)
    return OruDestination(writer.name or "oru", link, claims, settings, writer.language)


def listener_of(settings: OruSettings) -> Listener:
    """Where to connect to, with TLS where it is asked for.

    Raises
    ------
    ConfigurationError
        As in :func:`build`.
    """
    files = (settings.tls_ca, settings.tls_certificate, settings.tls_key)
    if not settings.tls:
        if any(files):
            raise ConfigurationError(f"{_SETTINGS}_TLS_… names files but TLS is off: set {_SETTINGS}_TLS=true")
        return Listener(settings.host, settings.port, _SETTINGS)
    return Listener(settings.host, settings.port, _SETTINGS, client_tls(_SETTINGS, *files))
