"""Listening sockets → associations, within limits, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from producers.dimse.acse import AssociationRequest
from producers.dimse.admission import CONGESTED, Admitted, Caller, admit
from producers.dimse.association import Association
from producers.dimse.limits import Limits
from producers.dimse.negotiation import Policy, Rejection
from producers.dimse.peers import Peers
from producers.dimse.service import Registry
from producers.dimse.silent import Silent
from producers.dimse.tls import TlsContext
from producers.dimse.tls_listener import Handshake, TlsListener
from producers.telemetry import Telemetry
from schemas.errors import ConfigurationError
from schemas.logs import fields

log = logging.getLogger(__name__)

_BACKLOG: Final = 1024
_SAY_EVERY_S: Final = 10.0

#: A connection that may be closed before it holds an association.
_Connection = Association | Handshake


@dataclass(frozen=True)
class Capacity:
    """Connections at the same time.

    Attributes
    ----------
    associations
        Further ones are rejected (transient), so that a sender tries again.
    silent, silent_of_one_address
        Connections without an association; for further ones the oldest are closed.
    """

    associations: int
    silent: int = 2048
    silent_of_one_address: int = 1280


#: Told of each rejected association.
Rejected = Callable[[AssociationRequest, Caller, Rejection], None]


class DimseServer:
    """Accepts associations.

    Parameters
    ----------
    policy
        What is accepted.
    registry
        Services.
    limits
        Of each association.
    capacity
        Of all.
    peers
        Known application entities, as they are now.
    rejected
        Told of each rejected association.
    telemetry
        Shows the numbers of associations and other connections.
    """

    def __init__(
        self,
        policy: Policy,
        registry: Registry,
        limits: Limits,
        capacity: Capacity,
        peers: Callable[[], Peers],
        rejected: Rejected | None,
        telemetry: Telemetry,
    ) -> None:
        self._policy = policy
        self._registry = registry
        self._limits = limits
        self._capacity = capacity
        self._peers = peers
        self._rejected = rejected
        self._telemetry = telemetry
        self._associations: set[Association] = set()
        self._silent: Silent[_Connection] = Silent(capacity.silent, capacity.silent_of_one_address)
        self._held: Counter[str] = Counter()
        self._servers: list[asyncio.Server | TlsListener] = []
        self._stopping = False
        self._empty = asyncio.Event()
        self._run = uuid.uuid4().hex[:12]
        self._count = 0
        self._unsaid = 0
        self._said_at = -_SAY_EVERY_S

    async def start(self, host: str, port: int, tls: TlsContext | None = None) -> int:
        """Listen; returns the port, which is the given one unless that is 0.

        Parameters
        ----------
        host, port
            Address.
        tls
            Makes every connection a secure one; ``None`` is plain TCP.

        Raises
        ------
        ConfigurationError
            The port cannot be opened.
        """
        loop = asyncio.get_running_loop()

        def association() -> Association:
            return Association(self, self._policy, self._registry, self._limits, loop)

        server: asyncio.Server | TlsListener
        try:
            if tls is None:
                server = await loop.create_server(association, host, port, backlog=_BACKLOG)
            else:
                server = TlsListener(self, tls, association, self._limits.artim_timeout_s, loop)
                server.start(host, port, _BACKLOG)
        except OSError as error:
            setting = "SCANSTREAM_GATEWAY_DIMSE_PORT" if tls is None else "SCANSTREAM_GATEWAY_DIMSE_TLS_PORT"
            raise ConfigurationError(
                f"DICOM port {port} on {host} cannot be opened ({error.strerror}): stop the program that has "
                f"it or set {setting}"
            ) from error
        self._servers.append(server)
        bound = int(server.sockets[0].getsockname()[1])
        log.info(
            "DICOM listener open",
            extra=fields(host=host, port=bound, ae_title=self._policy.ae_title, tls=tls is not None),
        )
        return bound

    async def stop(self, timeout_s: float) -> None:
        """Take no more, let running messages end, then close what is left.

        Parameters
        ----------
        timeout_s
            Seconds that running messages have.
        """
        self._stopping = True
        for server in self._servers:
            server.close()
        deadline = time.monotonic() + timeout_s
        for association in list(self._associations):
            association.drain()
        while self._associations and time.monotonic() < deadline:
            self._empty.clear()
            try:
                await asyncio.wait_for(self._empty.wait(), deadline - time.monotonic())
            except TimeoutError:
                break
        for connection in [*self._associations, *self._silent]:
            connection.close_now()

    def admit(self, request: AssociationRequest, caller: Caller) -> Admitted | Rejection:
        """Whether a peer may hold an association, and what it may do."""
        if self._stopping:
            return CONGESTED
        return admit(request, caller, self._peers(), self._held, self._capacity.associations)

    def new_association_id(self) -> str:
        """A name that no other association of this gateway has, over restarts too."""
        self._count += 1
        return f"{self._run}-{self._count}"

    def connected(self, connection: _Connection, address: str) -> None:
        """A connection holds no association: it is new, or its association has ended and it is still open."""
        if isinstance(connection, Association):
            self._associations.add(connection)
        given_up = self._silent.add(connection, address)
        if given_up is not None:
            self.unheard("closed for newer ones")
            given_up.close_now()
        self._show()

    def opened(self, association: Association, calling_ae_title: str) -> None:
        """A connection holds an association."""
        self._silent.remove(association)
        self._held[calling_ae_title] += 1
        self._show()

    def released(self, calling_ae_title: str) -> None:
        """An association ended, by whatever way."""
        self._held[calling_ae_title] -= 1
        if self._held[calling_ae_title] <= 0:
            del self._held[calling_ae_title]
        self._show()

    def ended(self, connection: _Connection) -> None:
        """Forget a connection."""
        self._silent.remove(connection)
        if isinstance(connection, Association):
            self._associations.discard(connection)
        if not self._associations:
            self._empty.set()
        self._show()

    def rejected(self, request: AssociationRequest, caller: Caller, rejection: Rejection) -> None:
        """An association was rejected."""
        reason = f"{rejection.result}/{rejection.source}/{rejection.reason}"
        self._telemetry.count("scanstream_associations_rejected_total", reason=reason)
        if self._rejected is not None:
            self._rejected(request, caller, rejection)

    def unheard(self, what: str) -> None:
        """A connection ends that asked for nothing: one line for many of them, however many there are."""
        self._unsaid += 1
        now = time.monotonic()
        if now - self._said_at >= _SAY_EVERY_S:
            log.info(
                "connections without an association request ended", extra=fields(last=what, number=self._unsaid)
            )
            self._unsaid, self._said_at = 0, now

    def _show(self) -> None:
        self._telemetry.gauge("scanstream_associations", self._held.total())
        self._telemetry.gauge("scanstream_silent_connections", len(self._silent))
