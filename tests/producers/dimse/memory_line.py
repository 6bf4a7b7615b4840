"""An association on a transport in memory, with services of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from producers.dimse.acse import AssociationRequest
from producers.dimse.admission import Admitted, Caller
from producers.dimse.association import Association
from producers.dimse.command import Command, decode
from producers.dimse.limits import Limits
from producers.dimse.negotiation import Policy, Rejection
from producers.dimse.pdu import PduStream, PduType
from producers.dimse.rights import RIGHTS, Right
from producers.dimse.service import Exchange, Registry, Response, Session
from producers.dimse.spools import BoundedSpool
from producers.store.spool import Spool
from tests.producers.dimse.peer import request

Perform = Callable[[Exchange], Awaitable[Response]]


class Scripted:
    """A service that does what the test says."""

    def __init__(self, perform: Perform) -> None:
        self._perform = perform
        self.released_sessions: list[Session] = []

    def new_spool(self) -> Spool:
        return BoundedSpool()

    async def perform(self, exchange: Exchange) -> Response:
        return await self._perform(exchange)

    async def released(self, session: Session) -> None:
        self.released_sessions.append(session)


class Transport(asyncio.Transport):
    """Takes everything, in memory."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = bytearray()
        self.reading = True
        self.open = True

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.open = False

    def abort(self) -> None:
        self.open = False

    def is_closing(self) -> bool:
        return not self.open

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class MemoryHost:
    """A server with one association."""

    def __init__(self, may: frozenset[Right]) -> None:
        self.may = may
        self.held = 0

    def admit(self, request: AssociationRequest, caller: Caller) -> Admitted | Rejection:
        return Admitted(self.may)

    def new_association_id(self) -> str:
        return "test-1"

    def connected(self, connection: Association, address: str) -> None:
        pass

    def opened(self, association: Association, calling_ae_title: str) -> None:
        self.held += 1

    def released(self, calling_ae_title: str) -> None:
        self.held -= 1

    def ended(self, connection: Association) -> None:
        pass

    def rejected(self, request: AssociationRequest, caller: Caller, rejection: Rejection) -> None:
        pass

    def unheard(self, what: str) -> None:
        pass


class MemoryLine:
    """One connection; ``sent`` is what the gateway sent and nobody looked at yet."""

    def __init__(self, registry: Registry, may: frozenset[Right] = RIGHTS, idle_timeout_s: float = 60.0) -> None:
        self.host = MemoryHost(may)
        self.transport = Transport()
        policy = Policy(
            "SCANSTREAM", False, registry.offers, we_use=frozenset(registry.offers), needs=registry.needs
        )
        self.association = Association(
            self.host,
            policy,
            registry,
            Limits(1 << 16, 60.0, idle_timeout_s),
            asyncio.get_running_loop(),
        )
        self.association.connection_made(self.transport)
        self._stream = PduStream(1 << 20)
        self._pdus: list[tuple[PduType, bytes]] = []

    def associate(self, *contexts: tuple[str, tuple[str, ...]], user: tuple[Any, ...] = ()) -> None:
        """Open an association; context ids are 1, 3, 5 and so on."""
        self.association.data_received(request(contexts, user=user))
        assert self.pdus()[0][0] is PduType.ASSOCIATE_AC

    def send(self, wire: bytes) -> None:
        """Send bytes."""
        self.association.data_received(wire)

    def pdus(self) -> list[tuple[PduType, bytes]]:
        """PDUs that came since the last call."""
        found = list(self._stream.feed(bytes(self.transport.written)))
        self.transport.written.clear()
        return found

    async def next(self) -> tuple[PduType, bytes]:
        """The next PDU."""
        async with asyncio.timeout(10):
            while not self._pdus:
                self._pdus += self.pdus()
                await asyncio.sleep(0)
        return self._pdus.pop(0)

    async def command(self) -> Command:
        """The next message, which has no data set."""
        kind, body = await self.next()
        assert kind is PduType.P_DATA_TF
        return decode(body[6:])
