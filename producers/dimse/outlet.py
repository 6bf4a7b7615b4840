"""Messages → P-DATA-TF PDUs on the transport, at the pace of the peer.

Guarantee: fragments of two messages are never mixed, and a peer that takes nothing cannot make us hold answers
without end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from producers.dimse.command import Command
from producers.dimse.message import encode_message
from producers.dimse.service import AssociationLost
from producers.store.spool import Buffer


class Outlet:
    """Way of messages to the peer of one association.

    Parameters
    ----------
    write
        Puts bytes on the transport.
    is_open
        Whether the association is established.
    stuck
        Called when the peer takes nothing for ``timeout_s`` seconds; ends the association.
    peer_max_length
        Longest P-DATA-TF that the peer takes, in bytes; 0 is any.
    timeout_s
        Patience, in seconds.
    """

    def __init__(
        self,
        write: Callable[[bytes], None],
        is_open: Callable[[], bool],
        stuck: Callable[[], None],
        peer_max_length: int,
        timeout_s: float,
    ) -> None:
        self._write = write
        self._is_open = is_open
        self._stuck = stuck
        self._peer_max_length = peer_max_length
        self._timeout_s = timeout_s
        self._one_at_a_time = asyncio.Lock()
        self._writable = asyncio.Event()
        self._writable.set()

    def pause(self) -> None:
        """The transport holds enough."""
        self._writable.clear()

    def resume(self) -> None:
        """The transport takes more, or is closed: whoever waits shall look."""
        self._writable.set()

    async def ready(self) -> None:
        """Wait until the peer takes messages.

        Raises
        ------
        AssociationLost
            It takes none in time, or the association has ended.
        """
        if not self._writable.is_set():
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._writable.wait()
            except TimeoutError:
                self._stuck()
        if not self._is_open():
            raise AssociationLost("the association ended while a message was sent")

    async def send(self, context_id: int, command: Command, chunks: Iterable[Buffer] | None) -> None:
        """Send one message.

        Raises
        ------
        AssociationLost
            The association ended before all of it was on its way.
        """
        async with self._one_at_a_time:
            for pdu in encode_message(context_id, command, chunks, self._peer_max_length):
                await self.ready()
                self._write(pdu)
