"""pynetdicom's transport connection, with limits: no wait on the socket is endless, and it is always closed.

As it comes, a peer that stops reading or sending holds a thread for ever, a connection that failed leaves its
socket open, why it failed is only in a log that we keep silent, and Nagle's algorithm costs 40 ms per message: the
525 kB images of a C-MOVE to storescp go at 11 MB/s, without it at 67 MB/s. It waits with select(2), which knows no
file descriptor above 1023: a gateway that holds a thousand associations could open none. And its threads hold up
the end of the process.
"""

from __future__ import annotations

import errno
import hashlib
import select
import ssl
import sys
from collections.abc import Collection
from contextlib import suppress
from socket import IPPROTO_TCP, SHUT_RDWR, TCP_NODELAY, socket
from typing import Final

from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.transport import T_CONNECT, AddressInformation, AssociationSocket

from producers.dimse.acknowledgement import acknowledge_at_once

_TIMEOUT_S: Final = 120.0


class Connection(AssociationSocket):
    """Socket of one association.

    Attributes
    ----------
    stall_s
        Seconds that one read or write may take once it is open.
    certificates
        SHA-256 fingerprints, hexadecimal, of which the peer must show one with TLS; empty takes every certificate
        that the authority signed.
    was_open
        Whether the peer took it.
    failure
        Why it did not.
    """

    stall_s: float = _TIMEOUT_S
    certificates: Collection[str] = ()
    was_open: bool = False
    failure: BaseException | None = None

    def connect(self, primitive: T_CONNECT) -> None:
        """Connect, then limit the waits; what is sent goes at once, for each PDU is a write of its own."""
        if self.socket is not None:
            self.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        super().connect(primitive)
        if self.failure is not None or self.socket is None:
            return
        if not self._is_expected(self.socket):
            self.failure = OSError(errno.EACCES, "its certificate is none of certificate_sha256 in its entry")
            self._shutdown_socket()
            self.socket, self._is_connected = None, False
            # nobody has looked at the result yet: that is for this thread to do
            primitive.result = "Evt17"
            return
        self.was_open = True
        self.socket.settimeout(self.stall_s)

    @property
    def ready(self) -> bool:
        """Whether there is something to read."""
        connection = self.socket
        if connection is None or not self._is_connected:
            return False
        try:
            waiting = select.poll()
            waiting.register(connection, select.POLLIN)
            found = bool(waiting.poll(0))
        except (OSError, ValueError):
            self.event_queue.put("Evt17")
            return False
        return found or (isinstance(connection, ssl.SSLSocket) and connection.pending() > 0)

    def send(self, bytestream: bytes) -> None:
        """Send a PDU; an answer to it comes without delay."""
        super().send(bytestream)
        acknowledge_at_once(self.socket)

    def _is_expected(self, connection: socket) -> bool:
        """Whether the peer showed a certificate of its own, where it has some."""
        if not self.certificates or not isinstance(connection, ssl.SSLSocket):
            return True
        shown = connection.getpeercert(binary_form=True)
        return shown is not None and hashlib.sha256(shown).hexdigest() in self.certificates

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
    stall_s, certificates
        See :class:`Connection`.
    """

    def __init__(self, ae_title: str, stall_s: float, certificates: Collection[str] = ()) -> None:
        super().__init__(ae_title)
        self._stall_s = stall_s
        self._certificates = certificates

    def _create_socket(
        self, assoc: Association, address: AddressInformation, tls_args: tuple[ssl.SSLContext, str] | None
    ) -> AssociationSocket:
        connection = Connection(assoc, address=address)
        connection.stall_s, connection.certificates = self._stall_s, self._certificates
        # it may wait for a peer that says nothing: the end of the process does not
        assoc.dul.daemon = True
        connection.tls_args = tls_args
        return connection
