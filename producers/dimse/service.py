"""What this application entity can do: services by SOP class and command.

A service is registered with the abstract syntaxes and transfer syntaxes that it offers; negotiation and dispatch
both follow from the registry, so another service is one more registration.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from producers.dimse.command import Command
from producers.dimse.message import Message
from producers.dimse.negotiation import AcceptedContext, Information
from producers.dimse.rights import RIGHTS, Right, right_of
from producers.store.memory import Memory
from producers.store.spool import Buffer, Spool
from schemas.errors import DestinationUnavailable

#: Identifiers and the like of all associations; instances have a bound of their own.
_REQUESTS_BYTES: Final = 64 * 1024 * 1024


class AssociationLost(DestinationUnavailable):
    """The association ended before the peer answered, or took an answer."""


class Link(Protocol):
    """Our side of an association: requests of our own to the peer (PS3.7 7.5)."""

    @property
    def is_open(self) -> bool:
        """Whether it is established."""
        ...

    async def request(self, context_id: int, command: Command, chunks: Iterable[Buffer] | None = None) -> Command:
        """Perform an operation or notification at the peer, and wait for its response.

        Parameters
        ----------
        context_id
            Accepted presentation context.
        command
            Request; its Message ID is chosen here.
        chunks
            Data set in the transfer syntax of the context, or ``None``.

        Raises
        ------
        AssociationLost
            It ended first, or the peer took too long.
        """
        ...


@dataclass
class Session:
    """One association as the services see it.

    Attributes
    ----------
    association_id
        Unique name, for logs and events.
    calling_ae_title, called_ae_title
        From the request.
    contexts
        Accepted presentation contexts by id.
    link
        For requests of our own.
    delivered
        Study Instance UID → instances of it that were new with this association.
    may
        Rights of the peer.
    urgent
        Whether what it sends is published before everything else.
    extended
        SOP class → service class application information that we accepted (PS3.7 D.3.3.5).
    """

    association_id: str
    calling_ae_title: str
    called_ae_title: str
    contexts: Mapping[int, AcceptedContext]
    link: Link
    delivered: Counter[str] = field(default_factory=Counter)
    may: frozenset[Right] = RIGHTS
    urgent: bool = False
    extended: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Response:
    """Final response to a request; ``data_set`` is encoded in the transfer syntax of the context."""

    command: Command
    data_set: bytes | None = None


class Exchange(Protocol):
    """One request while it is performed."""

    @property
    def session(self) -> Session:
        """Association of the request."""
        ...

    @property
    def message(self) -> Message:
        """The request; whoever performs it closes its data set."""
        ...

    @property
    def context(self) -> AcceptedContext:
        """Presentation context of the request."""
        ...

    @property
    def is_cancelled(self) -> bool:
        """Whether the peer asked to cancel it (C-CANCEL-RQ), or is gone."""
        ...

    async def send(self, response: Command, data_set: bytes | None = None) -> None:
        """Send a pending response; waits while the peer does not take it.

        Raises
        ------
        AssociationLost
            The peer is gone.
        """
        ...


class Service(Protocol):
    """Performs the operations of some SOP classes."""

    def new_spool(self) -> Spool:
        """Place for a data set that comes with a request."""
        ...

    async def perform(self, exchange: Exchange) -> Response:
        """Perform a request; the response goes back on its presentation context."""
        ...

    async def released(self, session: Session) -> None:
        """The peer released the association in order; called before it is confirmed."""
        ...


class Registry:
    """Services by abstract syntax and command field.

    Attributes
    ----------
    memory
        Bound on the data sets that services take in memory, of all associations.
    """

    def __init__(self, memory_bytes: int = _REQUESTS_BYTES) -> None:
        self.memory = Memory(memory_bytes)
        self._by_operation: dict[tuple[str, int], Service] = {}
        self._offers: dict[str, frozenset[str]] = {}
        self._rights: dict[str, frozenset[Right | None]] = {}
        self._information: dict[str, Information] = {}
        self._services: list[Service] = []

    def register(
        self,
        service: Service,
        command: int,
        abstract_syntaxes: Collection[str],
        transfer_syntaxes: Collection[str],
        information: Information | None = None,
    ) -> None:
        """Offer a service; several may share an abstract syntax under different commands.

        Parameters
        ----------
        service
            What performs the operation.
        command
            Command field of the request.
        abstract_syntaxes, transfer_syntaxes
            What presentation contexts it is offered on.
        information
            Answers service class application information (PS3.7 D.3.3.5); ``None`` never does.

        Raises
        ------
        ValueError
            It has no right in :mod:`producers.dimse.rights`.
        """
        if service not in self._services:
            self._services.append(service)
        for abstract_syntax in abstract_syntaxes:
            self._by_operation[abstract_syntax, command] = service
            known = self._offers.get(abstract_syntax, frozenset())
            self._offers[abstract_syntax] = known | frozenset(transfer_syntaxes)
            rights = self._rights.get(abstract_syntax, frozenset())
            self._rights[abstract_syntax] = rights | {right_of(abstract_syntax, command)}
            if information is not None:
                self._information[abstract_syntax] = information

    @property
    def offers(self) -> Mapping[str, frozenset[str]]:
        """Abstract syntax → transfer syntaxes, for negotiation."""
        return self._offers

    @property
    def operations(self) -> Collection[tuple[str, int]]:
        """Abstract syntax and command of everything that is offered."""
        return self._by_operation.keys()

    @property
    def needs(self) -> Mapping[str, frozenset[Right]]:
        """Abstract syntax → rights of which a peer needs one, unless everyone may use something of it."""
        return {
            uid: frozenset(right for right in rights if right is not None)
            for uid, rights in self._rights.items()
            if None not in rights
        }

    @property
    def information(self) -> Mapping[str, Information]:
        """Abstract syntax → answer to its application information."""
        return self._information

    def find(self, abstract_syntax: str, command: int) -> Service | None:
        """Service for an operation, or ``None``."""
        return self._by_operation.get((abstract_syntax, command))

    async def released(self, session: Session) -> None:
        """Tell all services that an association was released."""
        await asyncio.gather(*(service.released(session) for service in self._services))
