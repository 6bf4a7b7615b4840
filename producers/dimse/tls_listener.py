"""Listening socket → handshakes → associations on secure connections.

We accept by ourselves, because asyncio's servers hide a connection until its handshake is done: here each counts
among the connections without an association from its first byte, and can be given up for newer ones. Guarantee: a
handshake that fails or never ends is one line in the log, and holds nothing afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from producers.dimse.association import Association
from producers.dimse.tls import TlsContext, reason_of
from schemas.logs import fields

log = logging.getLogger(__name__)

_SHUTDOWN_TIMEOUT_S: Final = 5.0
_NO_FILES_PAUSE_S: Final = 0.5


class HandshakeHost(Protocol):
    """What a handshake needs of the server that holds it."""

    def connected(self, connection: Handshake, address: str) -> None:
        """It begins."""
        ...

    def ended(self, connection: Handshake) -> None:
        """It has ended, well or not."""
        ...

    def unheard(self, what: str) -> None:
        """The peer said nothing."""
        ...


class Handshake:
    """One connection that is being secured."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None

    def close_now(self) -> None:
        """Give it up."""
        if self.task is not None:
            self.task.cancel()


class TlsListener:
    """Accepts secure connections on one address.

    Parameters
    ----------
    host
        Counts handshakes.
    tls
        Certificates as they are now.
    association
        Makes the protocol object of a secure connection.
    timeout_s
        For a handshake, seconds.
    loop
        Runs all of it.
    """

    def __init__(
        self,
        host: HandshakeHost,
        tls: TlsContext,
        association: Callable[[], Association],
        timeout_s: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._host = host
        self._tls = tls
        self._association = association
        self._timeout_s = timeout_s
        self._loop = loop
        self._accepting: asyncio.Task[None] | None = None
        self._handshakes: set[Handshake] = set()
        self.sockets: list[socket.socket] = []

    def start(self, host: str, port: int, backlog: int) -> None:
        """Listen.

        Raises
        ------
        OSError
            The port cannot be opened.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=backlog)
        listening.setblocking(False)
        self.sockets.append(listening)
        self._accepting = self._loop.create_task(self._accept(listening))

    def close(self) -> None:
        """Take no more connections."""
        if self._accepting is not None:
            self._accepting.cancel()
        for listening in self.sockets:
            listening.close()

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, address = await self._loop.sock_accept(listening)
            except OSError as error:
                # The peer may be gone already; without files left, others end meanwhile.
                log.warning("no connection accepted", extra=fields(reason=reason_of(error)))
                await asyncio.sleep(_NO_FILES_PAUSE_S)
                continue
            handshake = Handshake()
            self._handshakes.add(handshake)
            self._host.connected(handshake, str(address[0]))
            handshake.task = self._loop.create_task(self._secure(connection, str(address[0])))
            handshake.task.add_done_callback(partial(self._secured, handshake))

    async def _secure(self, connection: socket.socket, address: str) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._association,
                connection,
                ssl=self._tls.current(),
                ssl_handshake_timeout=self._timeout_s,
                ssl_shutdown_timeout=_SHUTDOWN_TIMEOUT_S,
            )
        except (ConnectionError, TimeoutError):
            self._host.unheard("no TLS handshake in time")
            connection.close()
        except OSError as error:
            log.warning("TLS handshake failed", extra=fields(address=address, reason=reason_of(error)))
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise

    def _secured(self, handshake: Handshake, task: asyncio.Task[None]) -> None:
        self._handshakes.discard(handshake)
        self._host.ended(handshake)
        if not task.cancelled() and task.exception() is not None:
            log.error("TLS handshake broke", exc_info=task.exception())
