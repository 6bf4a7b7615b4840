"""TCP acknowledgements at once, where we wait for an answer.

Many implementations write an answer in two parts and keep Nagle's algorithm on: the second part is held back until
the first is acknowledged (RFC 9293 3.7.4), and an acknowledgement is delayed by 40 ms when nothing is to be sent
(RFC 9293 3.8.6.3). With DCMTK's getscu and 525 kB images this is 11 MB/s; acknowledged at once it is 160 MB/s.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final, Protocol

_QUICK_ACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)


class _Options(Protocol):
    def setsockopt(self, level: int, option: int, value: int, /) -> None: ...


def acknowledge_at_once(connection: _Options | None) -> None:
    """Acknowledge what comes next without delay; the system forgets it when we send again (tcp(7))."""
    if connection is not None and _QUICK_ACK is not None:
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
