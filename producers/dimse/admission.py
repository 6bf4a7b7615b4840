"""An association request, and who sends it → may it be held, and what may it do (PS3.8 9.3.4). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

from producers.dimse.acse import AssociationRequest
from producers.dimse.negotiation import Rejection
from producers.dimse.peers import Peer, Peers
from producers.dimse.rights import Right

TOO_MANY: Final = Rejection(2, 3, 2, "the local limit of associations is reached: raise the limit or try later")
TOO_MANY_OF_ONE: Final = Rejection(
    2, 3, 2, "the limit of associations of this peer is reached: raise it in the peers file or try later"
)
CONGESTED: Final = Rejection(2, 3, 1, "the gateway is stopping: try later")
UNKNOWN: Final = Rejection(1, 1, 3, "the calling AE title is not in the peers file: add it there if it may call")
OTHER_ADDRESS: Final = Rejection(
    1, 1, 3, "the calling AE title may not be used from this address: correct its networks in the peers file"
)
OTHER_CERTIFICATE: Final = Rejection(
    1, 1, 3, "the calling AE title belongs to another TLS certificate: correct its fingerprints in the peers file"
)
OTHER_TITLE: Final = Rejection(
    1, 1, 7, "the peer may not call us by this AE title: correct called_ae_titles in the peers file"
)


@dataclass(frozen=True)
class Caller:
    """Where a connection comes from.

    Attributes
    ----------
    address
        IP address; empty when the transport does not know it.
    certificate_sha256
        Fingerprint of its TLS certificate, hexadecimal; ``None`` when it showed none.
    """

    address: str
    certificate_sha256: str | None = None


@dataclass(frozen=True)
class Admitted:
    """A peer that may hold an association: its rights, and whether what it sends goes first."""

    may: frozenset[Right]
    urgent: bool = False


def admit(
    request: AssociationRequest, caller: Caller, peers: Peers, held: Mapping[str, int], max_associations: int
) -> Admitted | Rejection:
    """Whether a peer may hold an association.

    Parameters
    ----------
    request, caller
        Who asks.
    peers
        Known application entities.
    held
        Calling AE title → associations that it holds.
    max_associations
        In all.
    """
    title = request.calling_ae_title
    peer = peers.find(title)
    if peer is None and not peers.others:
        return UNKNOWN
    if peer is not None:
        refusal = _refuse(peer, request, caller)
        if refusal is not None:
            return refusal
    if sum(held.values()) >= max_associations:
        return TOO_MANY
    if peer is None:
        return Admitted(peers.others)
    if peer.max_associations is not None and held.get(title, 0) >= peer.max_associations:
        return TOO_MANY_OF_ONE
    return Admitted(peer.may, peer.urgent)


def _refuse(peer: Peer, request: AssociationRequest, caller: Caller) -> Rejection | None:
    if peer.networks and not _is_in(caller.address, peer):
        return OTHER_ADDRESS
    if peer.certificate_sha256 and caller.certificate_sha256 not in peer.certificate_sha256:
        return OTHER_CERTIFICATE
    if peer.called_ae_titles and request.called_ae_title not in peer.called_ae_titles:
        return OTHER_TITLE
    return None


def _is_in(address: str, peer: Peer) -> bool:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        # A listener for both families sees IPv4 peers in this form.
        found = found.ipv4_mapped
    return any(found in network for network in peer.networks)
