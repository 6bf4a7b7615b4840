"""pynetdicom's transport connection, with limits: no wait on the socket is endless, and it is always closed.

As it comes, a peer that stops reading or sending holds a thread for ever, a connection that failed leaves its
socket open, why it failed is only in a log that we keep silent, and Nagle's algorithm costs 40 ms per message: the
525 kB images of a C-MOVE to storescp go at 11 MB/s, without it at 67 MB/s.
"""

from __future__ import annotations

import queue
import ssl
import sys
import time
from contextlib import suppress
from socket import IPPROTO_TCP, SHUT_RDWR, TCP_NODELAY
from typing import Any, Final

from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.transport import T_CONNECT, AddressInformation, AssociationSocket

from producers.dimse.acknowledgement import acknowledge_at_once

_TIMEOUT_S: Final = 120.0
_LOOK_EVERY_S: Final = 0.5
#: Idle, and waiting for the transport to close (PS3.8 9.2.1).
_OVER: Final = frozenset({"Sta1", "Sta13"})


class Connection(AssociationSocket):
    """Socket of one association.

    Attributes
    ----------
    stall_s
        Seconds that one read or write may take once it is open.
    was_open
        Whether the peer took it.
    failure
        Why it did not.
    """

    stall_s: float = _TIMEOUT_S
    was_open: bool = False
    failure: BaseException | None = None

    def connect(self, primitive: T_CONNECT) -> None:
        """Connect, then limit the waits; what is sent goes at once, for each PDU is a write of its own."""
        if self.socket is not None:
            self.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        super().connect(primitive)
        if self.failure is None and self.socket is not None:
            self.was_open = True
            self.socket.settimeout(self.stall_s)

    def send(self, bytestream: bytes) -> None:
        """Send a PDU; an answer to it comes without delay."""
        super().send(bytestream)
        acknowledge_at_once(self.socket)

    def _shutdown_socket(self) -> None:
        """Called also while the reason of a failure is handled, the only place where it can be had."""
        if not self.was_open and self.failure is None:
            self.failure = sys.exception()
        connection = self.socket
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(SHUT_RDWR)
            with suppress(OSError):
                connection.close()


class Requestor(AE):
    """Application entity whose associations are on :class:`Connection`.

    Parameters
    ----------
    ae_title
        Ours.
    stall_s
        See :class:`Connection`.
    """

    def __init__(self, ae_title: str, stall_s: float) -> None:
        super().__init__(ae_title)
        self._stall_s = stall_s

    def _create_socket(
        self, assoc: Association, address: AddressInformation, tls_args: tuple[ssl.SSLContext, str] | None
    ) -> AssociationSocket:
        connection = Connection(assoc, address=address)
        connection.stall_s = self._stall_s
        connection.tls_args = tls_args
        return connection


def notice_end(association: Association) -> None:
    """Make an association that waits for a message look every half second whether the connection still is.

    pynetdicom leaves one note when it ends, which its own reactor takes when it comes between two operations; who
    asks then would wait for the whole time limit.
    """
    dimse = association.dimse
    take = dimse.get_msg

    def get_msg(block: bool = False) -> Any:
        limit = dimse.dimse_timeout
        deadline = None if limit is None else time.monotonic() + limit
        while block and dimse.msg_queue.empty() and (deadline is None or time.monotonic() < deadline):
            is_over = association.dul.state_machine.current_state in _OVER or not association.dul.is_alive()
            try:
                return dimse.msg_queue.get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                if is_over:
                    return None, None
        return take(block=False)

    dimse.get_msg = get_msg  # type: ignore[method-assign] # the only place where the wait can be divided
