"""Our application entity: which services it offers, under which title and limits. Conformance in code."""

from __future__ import annotations

from typing import Final

from producers.dimse import identifier, tls
from producers.dimse.command import CommandField
from producers.dimse.commitment_reports import Patience
from producers.dimse.extended import (
    FIND_CLASSES,
    GET_CLASSES,
    MOVE_CLASSES,
    find_information,
    retrieve_information,
)
from producers.dimse.find import Find
from producers.dimse.get import Get
from producers.dimse.limits import Limits
from producers.dimse.move import Move, Sending
from producers.dimse.negotiation import Policy
from producers.dimse.peer_book import PeerBook
from producers.dimse.promises import Promised
from producers.dimse.requestor import Timeouts
from producers.dimse.server import Capacity, DimseServer, Rejected
from producers.dimse.service import Registry
from producers.dimse.silence import silence
from producers.dimse.storage import STORAGE_CLASSES, STORAGE_TRANSFER_SYNTAXES, Hint, Storage, information
from producers.dimse.tls import TlsContext, TlsFiles
from producers.dimse.verification import TRANSFER_SYNTAXES, VERIFICATION, Verification
from producers.dimse.workflow import Surroundings, Workflow
from producers.dimse.worklist import Orders
from producers.store.store import InstanceStore
from producers.telemetry import Telemetry
from schemas.errors import ConfigurationError
from schemas.settings import GatewaySettings

#: Service class of C-STORE, and the SOP class that stands for those of it that are newer than this release: their
#: data sets are stored as they come (PS3.4 B.3.1.3).
_STORAGE_SERVICE: Final = "1.2.840.10008.4.2"
_RAW_DATA_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.66"


def application_entity(
    settings: GatewaySettings,
    store: InstanceStore,
    hint: Hint,
    telemetry: Telemetry,
    peers: PeerBook | None = None,
    rejected: Rejected | None = None,
    workflow: Workflow | None = None,
) -> DimseServer:
    """DICOM listener, not yet listening.

    Parameters
    ----------
    settings
        Title and limits.
    store
        Where instances go.
    hint
        Makes the messages for the end of an association.
    telemetry
        Shows the number of associations.
    peers
        Known application entities; ``None`` reads the file of the settings.
    rejected
        Told of each rejected association.
    workflow
        Services around storing; ``None`` offers none of them.

    Raises
    ------
    ConfigurationError
        The peers file cannot be used.
    """
    silence()
    peers = peers or PeerBook(settings.peers_file)
    registry = services(settings, store, hint, peers, workflow)
    return DimseServer(
        Policy(
            settings.ae_title,
            settings.require_called_ae_title,
            registry.offers,
            we_use=STORAGE_CLASSES,
            needs=registry.needs,
            information=registry.information,
            service_classes={_STORAGE_SERVICE: _RAW_DATA_STORAGE},
        ),
        registry,
        Limits(
            settings.max_pdu_bytes,
            settings.artim_timeout_s,
            settings.idle_timeout_s,
            settings.message_timeout_s,
        ),
        Capacity(settings.max_associations, settings.max_silent_connections, settings.max_silent_of_one_address),
        peers.current,
        rejected,
        telemetry,
    )


def services(
    settings: GatewaySettings, store: InstanceStore, hint: Hint, peers: PeerBook, workflow: Workflow | None
) -> Registry:
    """Everything that is offered; parameters as of :func:`application_entity`."""
    registry = Registry()
    registry.register(Verification(), CommandField.C_ECHO_RQ, [VERIFICATION], TRANSFER_SYNTAXES)
    registry.register(
        Storage(store, hint),
        CommandField.C_STORE_RQ,
        STORAGE_CLASSES,
        STORAGE_TRANSFER_SYNTAXES,
        information,
    )
    _register_retrieval(registry, settings, store, peers)
    if workflow is not None:
        workflow.register(registry)
    return registry


def _register_retrieval(
    registry: Registry, settings: GatewaySettings, store: InstanceStore, peers: PeerBook
) -> None:
    """Query/Retrieve on what is stored (PS3.4 C)."""
    files = tls_files(settings)
    sending = Sending(
        settings.ae_title,
        peers.current,
        lambda: None if files is None else tls.context(files, server_side=False),
        Timeouts(response_s=settings.idle_timeout_s),
    )
    for service, command, classes, information_of in (
        (Find(store, settings.ae_title), CommandField.C_FIND_RQ, FIND_CLASSES, find_information),
        (Get(store), CommandField.C_GET_RQ, GET_CLASSES, retrieve_information),
        (
            Move(store, sending, settings.max_moves),
            CommandField.C_MOVE_RQ,
            MOVE_CLASSES,
            retrieve_information,
        ),
    ):
        registry.register(service, command, classes, identifier.TRANSFER_SYNTAXES, information_of)


def workflow_services(
    settings: GatewaySettings, store: InstanceStore, promised: Promised, orders: Orders, peers: PeerBook
) -> Workflow:
    """Services around storing; who opens them starts, stops and closes them.

    Parameters
    ----------
    settings
        Patience, and certificates.
    store
        Where instances and the outbox are.
    promised
        Makes the hint that a study has so many instances.
    orders
        What is scheduled.
    peers
        Where reports go.

    Raises
    ------
    ConfigurationError
        Their database cannot be opened.
    """
    files = tls_files(settings)
    surroundings = Surroundings(
        promised,
        orders,
        peers.current,
        lambda: None if files is None else tls.context(files, server_side=False),
    )
    patience = Patience(settings.commitment_grace_s, settings.commitment_report_hours * 3600)
    return Workflow(store, surroundings, patience, Timeouts(10.0, 15.0, min(30.0, settings.idle_timeout_s)))


def tls_files(settings: GatewaySettings) -> TlsFiles | None:
    """Certificate files for DICOM; ``None`` when there are none.

    Raises
    ------
    ConfigurationError
        A TLS port is set, and no certificate.
    """
    if settings.dimse_tls_certificate is not None:
        return TlsFiles(
            settings.dimse_tls_certificate,
            settings.dimse_tls_key,
            settings.dimse_tls_key_password_file,
            settings.dimse_tls_ca,
            settings.dimse_tls_mutual,
        )
    if settings.dimse_tls_port is None:
        return None
    raise ConfigurationError(
        "SCANSTREAM_GATEWAY_DIMSE_TLS_PORT needs a certificate: set SCANSTREAM_GATEWAY_DIMSE_TLS_CERTIFICATE"
    )


async def listen(server: DimseServer, settings: GatewaySettings) -> tuple[int, int | None]:
    """Open the listeners of the settings; returns the plain port, and the one with TLS if there is one.

    Raises
    ------
    ConfigurationError
        A port cannot be opened, or certificate files cannot be used.
    """
    files = tls_files(settings)
    secure = None if files is None or settings.dimse_tls_port is None else TlsContext(files)
    plain_port = await server.start(settings.dimse_host, settings.dimse_port)
    if secure is None or settings.dimse_tls_port is None:
        return plain_port, None
    return plain_port, await server.start(settings.dimse_host, settings.dimse_tls_port, secure)
