"""Host name → the addresses that may be connected to, so that a name cannot lead inside the hospital's network.

A public name may resolve to a private address, today or at the next question (DNS rebinding). So the addresses
are checked, and the connection goes to a checked one, never to the name again.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from consumers.destination import SourceUnavailable
from schemas.errors import PermanentRejection

Address = IPv4Address | IPv6Address

#: Host and port → textual addresses.
Resolver = Callable[[str, int], Sequence[str]]

_NAT64: Final = IPv6Network("64:ff9b::/96")

#: Where clouds answer with credentials beside the link-local addresses.
_CREDENTIALS: Final = frozenset(
    map(ip_address, ("100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
#: IETF protocol assignments (RFC 6890), relays of 6to4 (RFC 7526) and site-local addresses (RFC 3879).
_SPECIAL: Final = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"), IPv6Network("fec0::/10"))


def resolve(host: str, port: int) -> Sequence[str]:
    """Addresses of a host by the system's resolver, each once.

    Raises
    ------
    OSError
        It knows none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: Address) -> bool:
    """Whether an address lies in the open internet; also of the IPv4 address that an IPv6 one carries."""
    return all(
        one.is_global and not _is_never(one) and not any(one in network for network in _SPECIAL)
        for one in _meant(address)
    )


def is_allowed(address: Address, *, allow_private: bool) -> bool:
    """Whether a callback may go to an address.

    Those where clouds answer with credentials (link-local ones above all), multicast and the like are
    never allowed.
    """
    if allow_private:
        return not any(_is_never(one) for one in _meant(address))
    return is_public(address)


def checked(host: str, port: int, resolver: Resolver, *, allow_private: bool) -> list[str]:
    """Addresses of a host, all of them fit to be called.

    Raises
    ------
    SourceUnavailable
        The name cannot be resolved now.
    PermanentRejection
        One of them may not be called.
    """
    try:
        texts = resolver(host, port)
    except (OSError, UnicodeError) as error:
        raise SourceUnavailable(
            f"the name of the requester {host} cannot be resolved: check the DNS or its callback URL"
        ) from error
    # a scope (fe80::1%eth0) is of this machine and part of no address
    addresses = [ip_address(text.partition("%")[0]) for text in texts]
    if not addresses or not all(is_allowed(address, allow_private=allow_private) for address in addresses):
        raise PermanentRejection(
            f"{host} has an address that is not of the open internet: ask the requester for another URL"
            + ("" if allow_private else ", or set SCANSTREAM_CALLBACK_ALLOW_PRIVATE=true if it is one of yours")
        )
    return [str(address) for address in addresses]


def _meant(address: Address) -> Iterator[Address]:
    """An address, and those that it stands for (IPv4-mapped, 6to4, Teredo, NAT64)."""
    if isinstance(address, IPv4Address):
        yield address
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
        return
    if address in _NAT64:
        yield IPv4Address(int(address) & 0xFFFFFFFF)
        return
    yield address
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo


def _is_never(address: Address) -> bool:
    return (
        address.is_multicast
        or address.is_unspecified
        or address.is_link_local
        or (address.is_reserved and not address.is_loopback)
        or address == IPv4Address("255.255.255.255")
        or address in _CREDENTIALS
    )
