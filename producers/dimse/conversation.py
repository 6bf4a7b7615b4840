"""Messages of an established association → services, and their responses → the peer.

Requests are performed one after the other in the order in which they came, or as many at the same time as the
asynchronous operations window allows (PS3.7 D.3.3.3). Guarantee: what waits is bounded, because reading stops; a
request of ours never waits for an answer that we do not read.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final, Protocol

from producers.dimse.command import (
    DUPLICATE_INVOCATION,
    NOT_AUTHORIZED,
    PROCESSING_FAILURE,
    RESPONSE,
    UNRECOGNIZED_OPERATION,
    Command,
    CommandField,
)
from producers.dimse.exchange import Performing, Requests
from producers.dimse.message import Message, MessageAssembler
from producers.dimse.negotiation import AcceptedContext
from producers.dimse.outlet import Outlet
from producers.dimse.pdu import AbortReason, BadPdu, Body
from producers.dimse.rights import right_of
from producers.dimse.service import AssociationLost, Registry, Response, Session
from producers.dimse.spools import BoundedSpool
from producers.store.spool import Spool
from schemas.errors import ScanstreamError
from schemas.logs import fields

log = logging.getLogger(__name__)

#: Requests that may wait on one association before we stop reading from it.
_MAX_WAITING: Final = 8
#: And while we must read on, because the peer owes us an answer, before it is cut off.
_MAX_WAITING_WHILE_ASKING: Final = 64


class Line(Protocol):
    """What a conversation needs of the connection that it is held on."""

    @property
    def is_established(self) -> bool:
        """Whether messages may go."""
        ...

    def abort(self, reason: AbortReason, sentence: str) -> None:
        """End it, because of what the sentence says."""
        ...

    def confirm_release(self) -> None:
        """Answer A-RELEASE-RQ."""
        ...

    def read(self, on: bool) -> None:
        """Take bytes from the peer, or let it wait."""
        ...

    def rested(self) -> None:
        """Nothing is under way any more."""
        ...


class Conversation:
    """Messages of one association.

    Parameters
    ----------
    line
        Connection.
    session
        What services know of the association.
    registry
        Services.
    outlet
        Way to the peer.
    requests
        Of ours, on this association.
    window
        Operations that may be performed at the same time.

    Attributes
    ----------
    messages
        Whole messages so far.
    """

    def __init__(
        self, line: Line, session: Session, registry: Registry, outlet: Outlet, requests: Requests, window: int
    ) -> None:
        self.session = session
        self.messages = 0
        self._line = line
        self._registry = registry
        self._outlet = outlet
        self._requests = requests
        self._window = window
        self._assembler = MessageAssembler(session.contexts, self._new_spool)
        self._waiting: deque[Performing] = deque()
        self._underway: list[Performing] = []
        self._workers: set[asyncio.Task[None]] = set()
        self._releasing = False
        self._released = False
        self._reads = True

    @property
    def in_the_middle(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._assembler.in_the_middle

    @property
    def waiting(self) -> int:
        """Requests that nobody performs yet."""
        return len(self._waiting)

    @property
    def is_busy(self) -> bool:
        """Whether a request of the peer, or one of ours, is under way."""
        return bool(self._workers) or self._requests.waits

    @property
    def _to_release(self) -> bool:
        return self._releasing and not self._released

    def take(self, body: Body) -> None:
        """Take the body of a P-DATA-TF.

        Raises
        ------
        BadPdu
            The peer broke the protocol.
        """
        if self._releasing:
            raise BadPdu(AbortReason.UNEXPECTED_PDU, "a PDU after A-RELEASE-RQ")
        for message in self._assembler.feed(body):
            self.messages += 1
            field = message.command.field
            if field & RESPONSE:
                self._requests.answered(message.command)
                _forget(message)
            elif field == CommandField.C_CANCEL_RQ:
                self._cancel(message)
            else:
                self._enqueue(message)

    def release(self) -> None:
        """A-RELEASE-RQ came: confirm it after what waits has been performed.

        The peer may still take responses, but sends none (PS3.8 9.2, Sta7).

        Raises
        ------
        BadPdu
            It came twice, or inside a message.
        """
        if self._releasing:
            raise BadPdu(AbortReason.UNEXPECTED_PDU, "A-RELEASE-RQ came twice")
        if self.in_the_middle:
            raise BadPdu(AbortReason.UNEXPECTED_PDU, "A-RELEASE-RQ inside a message")
        self._releasing = True
        self._requests.lost()
        if not self._workers:
            self._start_worker()

    def close(self) -> None:
        """Drop what was received and not performed, and what nobody will answer."""
        self._requests.lost()
        self._assembler.close()
        while self._waiting:
            self._waiting.popleft().forget()
        self._outlet.resume()

    def regulate(self) -> None:
        """Read, unless enough waits; while the peer owes an answer it must be read whatever waits."""
        reads = len(self._waiting) < _MAX_WAITING or self._requests.waits
        if reads is not self._reads:
            self._reads = reads
            self._line.read(reads)

    def _is_open(self) -> bool:
        return self._line.is_established

    def _new_spool(self, context_id: int, command: Command) -> Spool:
        context = self.session.contexts[context_id]
        service = self._registry.find(context.served_as, command.field)
        if service is None or not self._is_allowed(context, command):
            return BoundedSpool(0)
        spool = service.new_spool()
        if isinstance(spool, BoundedSpool):
            spool.share(self._registry.memory)
        return spool

    def _is_allowed(self, context: AcceptedContext, command: Command) -> bool:
        right = right_of(context.served_as, command.field)
        return right is None or right in self.session.may

    def _enqueue(self, message: Message) -> None:
        if self._requests.waits and len(self._waiting) >= _MAX_WAITING_WHILE_ASKING:
            _forget(message)
            raise BadPdu(AbortReason.NOT_SPECIFIED, "far more requests at once than were negotiated")
        self._waiting.append(Performing(self.session, message, self._outlet.send, self._is_open))
        if len(self._waiting) >= _MAX_WAITING:
            self.regulate()
        if len(self._workers) < self._window:
            self._start_worker()

    def _cancel(self, message: Message) -> None:
        """C-CANCEL-RQ overtakes: it is for what is being performed, or for what still waits (PS3.7 9.3.2.3)."""
        _forget(message)
        number = message.command.responded_to
        for performing in (*self._underway, *self._waiting):
            if performing.message.command.message_id == number:
                performing.cancel()
                return

    def _start_worker(self) -> None:
        task = asyncio.get_running_loop().create_task(self._work())
        self._workers.add(task)
        task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._workers.discard(task)
        if not self._workers:
            if (self._waiting or self._to_release) and self._line.is_established:
                self._start_worker()
            else:
                self._line.rested()

    async def _work(self) -> None:
        """Perform what waits, in order; the last worker of a released association confirms that."""
        try:
            await self._outlet.ready()
            while self._waiting and self._line.is_established:
                performing = self._waiting.popleft()
                self.regulate()
                self._underway.append(performing)
                try:
                    await self._perform(performing)
                finally:
                    self._underway.remove(performing)
                await self._outlet.ready()
            if self._to_release and len(self._workers) == 1:
                self._released = True
                await self._registry.released(self.session)
                self._line.confirm_release()
        except AssociationLost:
            pass  # said where it was lost
        except Exception as error:
            log.exception("operation failed", extra=fields(association_id=self.session.association_id))
            self._line.abort(AbortReason.NOT_SPECIFIED, f"{type(error).__name__} while performing an operation")

    async def _perform(self, performing: Performing) -> None:
        message = performing.message
        if message.command.message_id is None:
            performing.forget()
            self._line.abort(AbortReason.INVALID_PARAMETER, "a request without Message ID (0000,0110)")
            return
        response = self._refusal(performing)
        if response is None:
            response = await self._answer(performing)
        else:
            performing.forget()
        if response is not None and self._line.is_established:
            chunks = None if response.data_set is None else (response.data_set,)
            await self._outlet.send(message.context_id, response.command, chunks)

    def _refusal(self, performing: Performing) -> Response | None:
        """Response to a request that no service is asked about."""
        command = performing.message.command
        context = performing.context
        if self._registry.find(context.served_as, command.field) is None:
            sentence = f"command {command.field:04X}H is not offered here"
            return Response(command.response(UNRECOGNIZED_OPERATION, sentence))
        if not self._is_allowed(context, command):
            return Response(command.response(NOT_AUTHORIZED, "the peers file does not allow this operation"))
        if not context.peer_is_scu:
            return Response(command.response(NOT_AUTHORIZED, "the peer is not SCU of this presentation context"))
        for other in self._underway:
            if other is not performing and other.message.command.message_id == command.message_id:
                return Response(command.response(DUPLICATE_INVOCATION, "the Message ID is in use"))
        return None

    async def _answer(self, performing: Performing) -> Response | None:
        """Response of the service; ``None`` when nobody is there to take it."""
        command = performing.message.command
        service = self._registry.find(performing.context.served_as, command.field)
        if service is None:  # pragma: no cover - refused before
            return None
        try:
            return await service.perform(performing)
        except AssociationLost as lost:
            performing.forget()
            if not self._releasing:
                self._line.abort(AbortReason.NOT_SPECIFIED, str(lost))
            return None
        except ScanstreamError as error:
            performing.forget()
            log.error(  # noqa: TRY400 - the sentence says it all
                "operation failed", extra=fields(association_id=self.session.association_id, reason=str(error))
            )
            return Response(command.response(PROCESSING_FAILURE, str(error)))
        except Exception:
            performing.forget()
            raise
        finally:
            if isinstance(performing.message.data_set, BoundedSpool):
                # What is small has been read by then; it must not count any longer, whatever became of it.
                performing.forget()


def _forget(message: Message) -> None:
    """Let go of a message that will not be performed."""
    if message.data_set is not None:
        message.data_set.close()
