"""A peer and what we want of it → an association that we opened, over pynetdicom (PS3.8 7.1). Blocking.

Guarantee: it opens within its time limits or says why not; whatever happens, it is released or aborted at the end,
and no thread or socket of it stays behind. A peer that stops reading or sending in the middle ends it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from pydicom.dataset import Dataset
from pynetdicom import _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.presentation import PresentationContext, build_context, build_role

from producers.dimse.connection import Connection, Requestor
from producers.dimse.outbound import Delivery, Outbound
from producers.dimse.peers import Peer
from producers.dimse.proposals import Context
from producers.dimse.receiving import receive_all
from producers.dimse.refusal import PEERS_ENTRY, rejection
from producers.dimse.silence import silence
from producers.store.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from schemas.errors import ConfigurationError, DestinationUnavailable, PermanentRejection

#: Takes an object that a C-GET brings, and answers with the status of its C-STORE.
Take = Callable[[Delivery], int]

#: Takes Event Type ID and Event Information of a report (N-EVENT-REPORT), and answers with a status.
Hear = Callable[[int, Dataset], int]


@dataclass(frozen=True)
class Timeouts:
    """Seconds that a peer has.

    Attributes
    ----------
    connect_s
        To take the connection, TLS included.
    association_s
        To answer a request for an association or for its release.
    response_s
        For each response, and for each stretch in which it takes or sends no byte.
    """

    connect_s: float = 10.0
    association_s: float = 30.0
    response_s: float = 120.0


@dataclass(frozen=True)
class Proposal:
    """What an association is asked for.

    Attributes
    ----------
    contexts
        At most :data:`producers.dimse.proposals.MAX_CONTEXTS`.
    extended
        SOP Class UID → service class application information (PS3.7 D.3.3.5), such as relational queries.
    """

    contexts: Sequence[Context]
    extended: Mapping[str, bytes] = field(default_factory=dict)


@contextmanager
def associated(
    peer: Peer,
    ae_title: str,
    proposal: Proposal,
    *,
    timeouts: Timeouts,
    tls: ssl.SSLContext | None = None,
    take: Take | None = None,
    hear: Hear | None = None,
    entry: str = PEERS_ENTRY,
) -> Iterator[Outbound]:
    """Open an association; it is released at the end of the block, aborted when the block raises.

    Parameters
    ----------
    peer
        Whom to call; its entry must say where it listens.
    ae_title
        Ours.
    proposal
        Presentation contexts and extended negotiation.
    timeouts
        Limits in seconds.
    tls
        For a peer whose entry has ``tls``.
    take
        Gets the objects of a C-GET, in a thread of the association.
    hear
        Gets the reports that the peer sends on this association, in a thread of it.
    entry
        Where the peer's title and address are configured, for messages.

    Raises
    ------
    ConfigurationError
        The entry has no address, or wants TLS and there is no certificate configured.
    DestinationUnavailable
        The peer is not reached, does not answer, is busy, or aborts.
    PermanentRejection
        It rejects us for good, or takes none of the contexts.
    """
    host, port = _address(peer)
    if peer.tls and tls is None:
        raise ConfigurationError(f"{peer.ae_title} wants TLS: configure the gateway's certificate")
    silence()
    _config.STORE_SEND_CHUNKED_DATASET = True  # files are sent as they are, not decoded and encoded again
    entity = Requestor(ae_title, timeouts.response_s, peer.certificate_sha256)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.connection_timeout = timeouts.connect_s
    entity.acse_timeout = timeouts.association_s
    entity.dimse_timeout = timeouts.response_s
    entity.network_timeout = None
    handlers: list[Any] = [] if take is None else [(evt.EVT_C_STORE, _deliver, [take])]
    if hear is not None:
        handlers.append((evt.EVT_N_EVENT_REPORT, report, [hear]))
    try:
        association = entity.associate(
            host,
            port,
            contexts=[_proposed(context) for context in proposal.contexts],
            ae_title=peer.ae_title,
            max_pdu=_MAX_PDU_BYTES,
            ext_neg=_negotiation(proposal),
            tls_args=(tls, host) if peer.tls and tls is not None else None,
            evt_handlers=handlers,
        )
    except OSError as error:
        raise DestinationUnavailable(
            f"{peer.ae_title}: the name {host} is not known ({error.strerror}): check {entry}"
        ) from error
    try:
        if not association.is_established:
            raise _refusal(association, peer, ae_title, timeouts, entry)
        receive_all(association)
        outbound = Outbound(association, peer.ae_title, timeouts.response_s)
        yield outbound
        _release(association)
    finally:
        _end(association)


_MAX_PDU_BYTES: Final = 128 * 1024
_INVALID_ARGUMENT: Final = 0x0115
_JOIN_S: Final = 5.0


def _address(peer: Peer) -> tuple[str, int]:
    if peer.host is None or peer.port is None:
        raise ConfigurationError(
            f"{peer.ae_title} has no address: give host and port in its entry of the peers file"
        )
    return peer.host, peer.port


def _proposed(context: Context) -> PresentationContext:
    return build_context(context.abstract_syntax, list(context.transfer_syntaxes))


def _negotiation(proposal: Proposal) -> list[Any]:
    items: list[Any] = [
        build_role(uid, scp_role=True)
        for uid in dict.fromkeys(context.abstract_syntax for context in proposal.contexts if context.as_scp)
    ]
    for uid, information in proposal.extended.items():
        item = SOPClassExtendedNegotiation()
        item.sop_class_uid = uid
        item.service_class_application_information = information
        items.append(item)
    return items


def _deliver(event: evt.Event, take: Take) -> int:
    request: Any = event.request
    return take(
        Delivery(
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
            transfer_syntax_uid=str(event.context.transfer_syntax),
            data_set=b"" if request.DataSet is None else request.DataSet.getvalue(),
        )
    )


def report(event: evt.Event, hear: Hear) -> tuple[int, None]:
    """Pass on an N-EVENT-REPORT; what cannot be read is refused."""
    try:
        information = event.event_information
    except Exception:  # noqa: BLE001 - whatever pydicom says of bytes that a peer sent
        return _INVALID_ARGUMENT, None
    return hear(int(event.event_type or 0), information), None


def _refusal(association: Association, peer: Peer, ae_title: str, timeouts: Timeouts, entry: str) -> Exception:
    """Why an association was not established."""
    address = f"{peer.host}:{peer.port}"
    answer: Any = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        code = (answer.result, answer.result_source, answer.diagnostic)
        return rejection(peer.ae_title, address, ae_title, *code, entry)
    if answer is not None:
        wanted = dict.fromkeys(str(context.abstract_syntax) for context in association.rejected_contexts)
        return PermanentRejection(
            f"{peer.ae_title} at {address} takes none of the presentation contexts: enable these SOP classes for "
            f"{ae_title} there: {', '.join(list(wanted)[:4])}"
        )
    connection = association.dul.socket
    if isinstance(connection, Connection) and not connection.was_open:
        return DestinationUnavailable(
            f"{peer.ae_title} at {address} is not reached ({_reason(connection.failure)}): check that it runs, "
            "its address, and the network between"
        )
    return DestinationUnavailable(
        f"{peer.ae_title} at {address} aborts, or does not answer the request for an association within "
        f"{timeouts.association_s:g} s: look at its log for {ae_title}"
    )


def _reason(failure: BaseException | None) -> str:
    if isinstance(failure, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {failure.verify_message}"
    if isinstance(failure, ssl.SSLError):
        return f"the TLS handshake fails: {failure.reason}"
    if isinstance(failure, TimeoutError):
        return "no answer in time"
    return (failure.strerror if isinstance(failure, OSError) else None) or type(failure).__name__


def _release(association: Association) -> None:
    if association.is_established:
        association.release()


def _end(association: Association) -> None:
    """Leave nothing behind: abort what is still open, close the socket, wait for both threads."""
    if association.is_established:
        association.abort(block=False)
    association.dul.join(timeout=0.5)
    if association.dul.is_alive():
        if association.dul.socket is not None:
            association.dul.socket._shutdown_socket()
        association.dul.kill_dul()
        association.dul.join(timeout=_JOIN_S)
    association._kill = True
    association._reactor_checkpoint.set()
    if association.is_alive():
        association.join(timeout=_JOIN_S)
