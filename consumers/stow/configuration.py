"""Settings of the writer to the PACS → its parts, or one sentence about the setting that is wrong."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from consumers.dicom.plan import Plan, plan_of
from consumers.stow.client import StowClient
from consumers.stow.committed import CommittedTransport
from consumers.stow.held import ENTRY
from consumers.stow.scu import StorageScu
from consumers.stow.transport import Transport
from consumers.stow.web import DicomWeb
from producers.dimse.commitment_listener import CommitmentListener
from producers.dimse.commitment_request import CommitmentScu, Reports
from producers.dimse.peers import AeTitle, Peer
from producers.dimse.requestor import Timeouts
from producers.dimse.tls import TlsFiles, context, requestor_context
from producers.process import Process
from schemas.destinations import StowSettings, WriterSettings
from schemas.errors import ConfigurationError
from schemas.settings import secret_of

_PREFIX: Final = "SCANSTREAM_STOW"
DEFAULT_NAME: Final = "stow"


def name_of(writer: WriterSettings) -> str:
    """Name of the destination."""
    return writer.name or DEFAULT_NAME


def plan_from(settings: StowSettings, writer: WriterSettings) -> Plan:
    """What is made for the PACS.

    Raises
    ------
    ConfigurationError
        ``SCANSTREAM_STOW_OBJECTS`` names something else.
    """
    return plan_of(settings.objects, writer.language)


def transport_from(settings: StowSettings, process: Process) -> Transport:
    """The way into the PACS, with a listener for reports of storage commitment where a port is set.

    Raises
    ------
    ConfigurationError
        A setting is wrong, or contradicts another.
    """
    tls = _tls(settings)
    transport: Transport
    if settings.transport == "stow":
        agent = f"scanstream {process.name}"
        https = None if settings.tls_ca is None else _https(settings.tls_ca, settings)
        web = DicomWeb(settings.pacs_url, _credentials(settings), settings.timeout_s, agent, tls=https)
        transport = StowClient(web, settings.batch_bytes)
    else:
        transport = StorageScu(_peer(settings), _ours(settings), _timeouts(settings), tls)
    if not settings.storage_commitment:
        return transport
    reports = Reports()
    listener = None if settings.commitment_port is None else _listener(settings, settings.commitment_port, reports)
    commitment = CommitmentScu(
        _peer(settings),
        _ours(settings),
        _timeouts(settings),
        settings.commitment_timeout_s,
        reports,
        tls,
        ENTRY,
    )
    return CommittedTransport(transport, commitment, listener)


def _credentials(settings: StowSettings) -> tuple[str, str] | None:
    password = secret_of(settings.password, settings.password_file, f"{_PREFIX}_PASSWORD")
    if (settings.username is None) != (password is None):
        raise ConfigurationError(
            f"set {_PREFIX}_USERNAME together with {_PREFIX}_PASSWORD or {_PREFIX}_PASSWORD_FILE, or none of them"
        )
    return None if settings.username is None or password is None else (settings.username, password)


def _peer(settings: StowSettings) -> Peer:
    return Peer(
        ae_title=_ae_title(settings.ae_title, "AE_TITLE"),
        host=settings.host,
        port=settings.port,
        tls=settings.tls_ca is not None,
    )


def _ours(settings: StowSettings) -> str:
    return _ae_title(settings.calling_ae_title, "CALLING_AE_TITLE")


def _ae_title(value: str, setting: str) -> str:
    try:
        return TypeAdapter[str](AeTitle).validate_python(value)
    except ValidationError as error:
        raise ConfigurationError(
            f"{_PREFIX}_{setting} {value!r} is no AE title: give at most 16 Latin letters and digits"
        ) from error


def _timeouts(settings: StowSettings) -> Timeouts:
    return Timeouts(
        connect_s=min(settings.timeout_s, Timeouts.connect_s),
        association_s=min(settings.timeout_s, Timeouts.association_s),
        response_s=settings.timeout_s,
    )


def _tls(settings: StowSettings) -> ssl.SSLContext | None:
    """TLS of associations that we open, where an authority is named."""
    if settings.tls_key is not None and settings.tls_certificate is None:
        raise ConfigurationError(f"{_PREFIX}_TLS_KEY needs {_PREFIX}_TLS_CERTIFICATE: set both or none")
    if settings.tls_ca is None:
        if settings.tls_certificate is not None:
            raise ConfigurationError(
                f"{_PREFIX}_TLS_CERTIFICATE needs {_PREFIX}_TLS_CA, what signs the PACS's: set both"
            )
        return None
    return requestor_context(settings.tls_ca, settings.tls_certificate, settings.tls_key, f"{_PREFIX}_TLS")


def _https(ca: Path, settings: StowSettings) -> ssl.SSLContext:
    """TLS of requests: as for associations, and the certificate must be of the host in the URL."""
    made = requestor_context(ca, settings.tls_certificate, settings.tls_key, f"{_PREFIX}_TLS")
    made.check_hostname = True
    return made


def _listener(settings: StowSettings, port: int, reports: Reports) -> CommitmentListener:
    tls = None
    if settings.tls_ca is not None:
        if settings.tls_certificate is None:
            raise ConfigurationError(
                f"{_PREFIX}_COMMITMENT_PORT with TLS needs a certificate of ours: set {_PREFIX}_TLS_CERTIFICATE"
            )
        tls = context(TlsFiles(settings.tls_certificate, settings.tls_key, ca=settings.tls_ca), server_side=True)
    return CommitmentListener(
        settings.commitment_host, port, _ours(settings), _peer(settings).ae_title, reports.hear, tls
    )
