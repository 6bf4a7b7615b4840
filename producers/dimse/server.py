"""Listening socket → associations, within limits, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from typing import Final

from producers.dimse.association import Association
from producers.dimse.limits import Limits
from producers.dimse.negotiation import CONGESTED, TOO_MANY, Policy, Rejection
from producers.dimse.service import Registry
from producers.telemetry import Telemetry
from schemas.errors import ConfigurationError
from schemas.logs import fields

log = logging.getLogger(__name__)

_BACKLOG: Final = 1024


class DimseServer:
    """Accepts associations on one address.

    Parameters
    ----------
    policy
        What is accepted.
    registry
        Services.
    limits
        Of each association.
    max_associations
        Further ones are rejected (transient), so that a sender tries again.
    telemetry
        Shows the number of associations.
    """

    def __init__(
        self, policy: Policy, registry: Registry, limits: Limits, max_associations: int, telemetry: Telemetry
    ) -> None:
        self._policy = policy
        self._registry = registry
        self._limits = limits
        self._max_associations = max_associations
        self._telemetry = telemetry
        self._associations: set[Association] = set()
        self._server: asyncio.Server | None = None
        self._stopping = False
        self._empty = asyncio.Event()
        self._run = uuid.uuid4().hex[:12]
        self._count = 0

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which is the given one unless that is 0.

        Raises
        ------
        ConfigurationError
            The port cannot be opened.
        """
        loop = asyncio.get_running_loop()

        def connected() -> Association:
            association = Association(self, self._policy, self._registry, self._limits, loop)
            self._associations.add(association)
            return association

        try:
            self._server = await loop.create_server(connected, host, port, backlog=_BACKLOG)
        except OSError as error:
            raise ConfigurationError(
                f"DICOM port {port} on {host} cannot be opened ({error.strerror}): stop the program that has "
                "it or set SCANSTREAM_GATEWAY_DIMSE_PORT"
            ) from error
        bound = int(self._server.sockets[0].getsockname()[1])
        log.info("DICOM listener open", extra=fields(host=host, port=bound, ae_title=self._policy.ae_title))
        return bound

    async def stop(self, timeout_s: float) -> None:
        """Take no more, let running messages end, then close what is left.

        Parameters
        ----------
        timeout_s
            Seconds that running messages have.
        """
        self._stopping = True
        if self._server is not None:
            self._server.close()
        deadline = time.monotonic() + timeout_s
        for association in list(self._associations):
            association.drain()
        while self._associations and time.monotonic() < deadline:
            self._empty.clear()
            try:
                await asyncio.wait_for(self._empty.wait(), deadline - time.monotonic())
            except TimeoutError:
                break
        for association in list(self._associations):
            association.close_now()

    def admit(self) -> Rejection | None:
        """Why no further association is taken, or ``None``."""
        if self._stopping:
            return CONGESTED
        if sum(association.is_established for association in self._associations) >= self._max_associations:
            return TOO_MANY
        return None

    def new_association_id(self) -> str:
        """A name that no other association of this gateway has, over restarts too."""
        self._count += 1
        self._telemetry.gauge("scanstream_associations", len(self._associations))
        return f"{self._run}-{self._count}"

    def ended(self, association: Association) -> None:
        """Forget a connection."""
        self._associations.discard(association)
        self._telemetry.gauge("scanstream_associations", len(self._associations))
        if not self._associations:
            self._empty.set()
