"""Requests of both sides while they are under way: the peer's that we perform, and ours that it performs.

Guarantee: whoever waits for a peer gets its answer, or :class:`AssociationLost` when the association ends first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from producers.dimse.command import Command
from producers.dimse.message import Message
from producers.dimse.negotiation import AcceptedContext
from producers.dimse.service import AssociationLost, Session
from producers.store.spool import Buffer

#: Sends a message on a presentation context; waits while the peer takes nothing, raises ``AssociationLost``.
Send = Callable[[int, Command, Iterable[Buffer] | None], Awaitable[None]]

_MAX_MESSAGE_ID = 0xFFFF


class Performing:
    """A request of the peer until it is answered; what :class:`producers.dimse.service.Exchange` asks for.

    Parameters
    ----------
    session, message
        Association and request.
    send
        Way to the peer.
    is_open
        Whether the association is established.
    """

    def __init__(self, session: Session, message: Message, send: Send, is_open: Callable[[], bool]) -> None:
        self.session = session
        self.message = message
        self._send = send
        self._is_open = is_open
        self._cancelled = False

    @property
    def context(self) -> AcceptedContext:
        """Presentation context of the request."""
        return self.session.contexts[self.message.context_id]

    @property
    def is_cancelled(self) -> bool:
        """Whether the peer asked to cancel it, or is gone."""
        return self._cancelled or not self._is_open()

    def cancel(self) -> None:
        """The peer sent C-CANCEL-RQ for it (PS3.7 9.3.2.3)."""
        self._cancelled = True

    async def send(self, response: Command, data_set: bytes | None = None) -> None:
        """Send a pending response."""
        await self._send(self.message.context_id, response, None if data_set is None else (data_set,))

    def forget(self) -> None:
        """Let go of its data set."""
        if self.message.data_set is not None:
            self.message.data_set.close()


class Requests:
    """Requests of ours that the peer has not answered; what :class:`producers.dimse.service.Link` asks for.

    Parameters
    ----------
    send
        Way to the peer.
    changed
        Called when a request goes out or is answered: see ``waits``.
    timeout_s
        How long the peer may take for one, seconds.
    sent
        Called when a request is on its way, and its answer is waited for.
    """

    def __init__(
        self,
        send: Send,
        changed: Callable[[], None],
        timeout_s: float,
        sent: Callable[[], None] = lambda: None,
    ) -> None:
        self._send = send
        self._changed = changed
        self._timeout_s = timeout_s
        self._sent = sent
        self._asked: dict[int, asyncio.Future[Command]] = {}
        self._last_id = 0
        self._over = False

    @property
    def is_open(self) -> bool:
        """Whether the peer still answers: it has neither ended the association nor asked to."""
        return not self._over

    @property
    def waits(self) -> bool:
        """Whether an answer is due."""
        return bool(self._asked)

    async def request(self, context_id: int, command: Command, chunks: Iterable[Buffer] | None = None) -> Command:
        """Send a request and wait for its response."""
        if self._over:
            raise AssociationLost("the association has ended: ask again on a new one")
        number = self._next_id()
        answer: asyncio.Future[Command] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self._changed()
        try:
            await self._send(context_id, replace(command, message_id=number), chunks)
            self._sent()
            async with asyncio.timeout(self._timeout_s):
                return await answer
        except TimeoutError:
            raise AssociationLost("the peer does not answer a request of ours: look at its log") from None
        finally:
            self._asked.pop(number, None)
            _consume(answer)
            self._changed()

    def answered(self, response: Command) -> bool:
        """Take a response; returns whether it was asked for."""
        answer = self._asked.get(response.responded_to or 0)
        if answer is None or answer.done():
            return False
        answer.set_result(response)
        return True

    def lost(self) -> None:
        """Nobody will answer any more."""
        self._over = True
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(AssociationLost("the association ended before the peer answered"))

    def _next_id(self) -> int:
        while True:
            self._last_id = self._last_id % _MAX_MESSAGE_ID + 1
            if self._last_id not in self._asked:
                return self._last_id


def _consume(answer: asyncio.Future[Command]) -> None:
    """An exception that nobody fetched would be logged when the future goes away."""
    if answer.done() and not answer.cancelled():
        answer.exception()
    else:
        answer.cancel()
