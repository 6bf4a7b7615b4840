"""One connection as association acceptor: the state machine of PS3.8 9.2 on asyncio.

States: waiting for A-ASSOCIATE-RQ → established → waiting for the peer to close. Bytes are taken in the
transport's callback without a task per connection; a task runs only while operations are performed. Guarantee:
whatever a peer sends, the answer is a response, a rejection or an A-ABORT, and what it held is let go.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, cast

from producers.dimse.acse import abort, decode_request, encode_accept, reject, release
from producers.dimse.command import RESPONSE, UNRECOGNIZED_OPERATION, Command, CommandField
from producers.dimse.exchange import Performing, Requests
from producers.dimse.message import Message, MessageAssembler, encode_message
from producers.dimse.negotiation import Policy, Rejection, negotiate
from producers.dimse.pdu import AbortReason, AbortSource, BadPdu, PduStream, PduType
from producers.dimse.service import AssociationLost, Registry, Response, Session
from producers.store.spool import Buffer, Spool
from schemas.logs import fields

log = logging.getLogger(__name__)

#: Requests that may wait on one association before we stop reading from it.
_MAX_WAITING: Final = 8


class State(Enum):
    """States of PS3.8 9.2.1 that an acceptor is in while the transport is open."""

    AWAIT_REQUEST = "Sta2"
    ESTABLISHED = "Sta6"
    AWAIT_CLOSE = "Sta13"
    CLOSED = "Sta1"


@dataclass(frozen=True)
class Limits:
    """Times in seconds, lengths in bytes."""

    max_pdu_bytes: int
    artim_timeout_s: float
    idle_timeout_s: float


class Host(Protocol):
    """What an association needs of the server that holds it."""

    def admit(self) -> Rejection | None:
        """Why no further association is taken, or ``None``."""
        ...

    def new_association_id(self) -> str:
        """A unique name."""
        ...

    def ended(self, association: Association) -> None:
        """The connection is closed."""
        ...


class Association(asyncio.Protocol):
    """Protocol object of one connection."""

    def __init__(
        self, host: Host, policy: Policy, registry: Registry, limits: Limits, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._host = host
        self._policy = policy
        self._registry = registry
        self._limits = limits
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._stream = PduStream(limits.max_pdu_bytes)
        self._state = State.AWAIT_REQUEST
        self._timer: asyncio.TimerHandle | None = None
        self._active_at = 0.0
        self._assembler: MessageAssembler | None = None
        self._session: Session | None = None
        self._peer_max_length = 0
        self._waiting: deque[Message | None] = deque()
        self._task: asyncio.Task[None] | None = None
        self._performing: Performing | None = None
        self._requests = Requests(self._send_message, lambda: self.is_established, limits.idle_timeout_s)
        self._draining = False
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def is_established(self) -> bool:
        """Whether it was accepted and has not ended."""
        return self._state is State.ESTABLISHED

    def _is_over(self) -> bool:
        """Whether nothing that the peer still sends counts (AA-6)."""
        return self._state in (State.AWAIT_CLOSE, State.CLOSED)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Transport connection indication: start ARTIM (AE-5)."""
        self._transport = cast(asyncio.Transport, transport)
        self._start_artim()

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        if self._is_over():
            return
        self._active_at = self._loop.time()
        try:
            for pdu_type, body in self._stream.feed(data):
                self._take(pdu_type, body)
                if self._is_over():
                    return
        except BadPdu as bad:
            self._abort(bad.reason, bad.sentence)
        except Exception as error:  # noqa: BLE001 - a peer must never bring the gateway down
            self._abort(AbortReason.NOT_SPECIFIED, f"{type(error).__name__} while reading")

    def pause_writing(self) -> None:
        """The peer does not take our answers as fast as it asks."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has taken most of them."""
        self._writable.set()

    def eof_received(self) -> bool:
        """The peer closed its side: so do we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything (AA-4 when it was not released)."""
        if self.is_established:
            reason = type(exc).__name__ if exc else "closed by the peer"
            log.warning("association lost", extra=self._fields(reason=reason))
        self._let_go()
        self._state = State.CLOSED
        self._writable.set()
        self._host.ended(self)

    def drain(self) -> None:
        """End as soon as no message is under way (the gateway stops)."""
        self._draining = True
        self._end_if_drained()

    def close_now(self) -> None:
        """End at once."""
        if self._transport is not None:
            self._transport.abort()

    def _take(self, pdu_type: PduType, body: bytes) -> None:
        if pdu_type is PduType.ABORT:
            if self.is_established:
                log.info("association aborted by the peer", extra=self._fields(source=body[2], reason=body[3]))
            self._close()
        elif self._state is State.AWAIT_REQUEST and pdu_type is PduType.ASSOCIATE_RQ:
            self._open(body)
        elif self._state is State.ESTABLISHED and pdu_type is PduType.P_DATA_TF and self._assembler is not None:
            for message in self._assembler.feed(body):
                if message.command.field & RESPONSE:
                    self._requests.answered(message.command)
                    _forget(message)
                elif message.command.field == CommandField.C_CANCEL_RQ:
                    self._cancel(message)
                else:
                    self._enqueue(message)
        elif self._state is State.ESTABLISHED and pdu_type is PduType.RELEASE_RQ:
            if self._assembler is not None and self._assembler.in_the_middle:
                raise BadPdu(AbortReason.UNEXPECTED_PDU, "A-RELEASE-RQ inside a message")
            self._enqueue(None)
        else:
            raise BadPdu(AbortReason.UNEXPECTED_PDU, f"{pdu_type.name} in state {self._state.value}")

    def _open(self, body: bytes) -> None:
        request = decode_request(body)
        answer = self._host.admit() or negotiate(request, self._policy)
        if isinstance(answer, Rejection):
            log.warning(
                "association rejected",
                extra=fields(
                    calling_ae_title=request.calling_ae_title,
                    called_ae_title=request.called_ae_title,
                    reason=answer.sentence,
                ),
            )
            self._finish(reject(answer.result, answer.source, answer.reason))
            return
        session = Session(
            self._host.new_association_id(),
            request.calling_ae_title,
            request.called_ae_title,
            answer.contexts,
            self._requests,
        )
        self._session = session
        self._peer_max_length = request.max_length
        self._assembler = MessageAssembler(answer.contexts, self._new_spool)
        self._state = State.ESTABLISHED
        self._send(encode_accept(request, answer.answers, answer.roles, self._limits.max_pdu_bytes))
        self._start_idle_timer()
        log.info(
            "association opened",
            extra=self._fields(
                calling_ae_title=session.calling_ae_title,
                called_ae_title=session.called_ae_title,
                implementation=request.implementation_version,
                contexts_accepted=len(answer.contexts),
                contexts_refused=len(answer.answers) - len(answer.contexts),
            ),
        )

    def _new_spool(self, context_id: int, command: Command) -> Spool:
        if self._session is None:  # pragma: no cover - an assembler exists only with a session
            return Spool()
        service = self._registry.find(self._session.contexts[context_id].abstract_syntax, command.field)
        return Spool() if service is None else service.new_spool()

    def _enqueue(self, message: Message | None) -> None:
        """Queue a message, or the release (``None``), behind what is being performed."""
        if self._waiting and self._waiting[-1] is None:
            raise BadPdu(AbortReason.UNEXPECTED_PDU, "a PDU after A-RELEASE-RQ")
        self._waiting.append(message)
        if len(self._waiting) >= _MAX_WAITING and self._transport is not None:
            self._transport.pause_reading()
        if self._task is None:
            self._task = self._loop.create_task(self._work())

    async def _work(self) -> None:
        """Perform what waits, in order."""
        try:
            while await self._can_answer() and self._waiting and self._session is not None:
                message = self._waiting.popleft()
                self._read_on()
                if message is None:
                    await self._release(self._session)
                    return
                await self._perform(self._session, message)
        except AssociationLost:
            pass  # said where it was lost
        except Exception as error:
            log.exception("operation failed", extra=self._fields())
            self._abort(AbortReason.NOT_SPECIFIED, f"{type(error).__name__} while performing an operation")
        finally:
            self._task = None
            self._end_if_drained()

    async def _can_answer(self) -> bool:
        """Wait until the peer takes answers; one that never does would have us hold them without end."""
        if self._writable.is_set():
            return self.is_established
        try:
            await asyncio.wait_for(self._writable.wait(), self._limits.idle_timeout_s)
        except TimeoutError:
            log.warning("association cut off: the peer takes no answers", extra=self._fields())
            self.close_now()
            return False
        return self.is_established

    def _read_on(self) -> None:
        transport = self._transport
        if transport is not None and len(self._waiting) < _MAX_WAITING and not transport.is_reading():
            transport.resume_reading()

    async def _perform(self, session: Session, message: Message) -> None:
        command = message.command
        if command.message_id is None:
            _forget(message)
            self._abort(AbortReason.INVALID_PARAMETER, "a request without Message ID (0000,0110)")
            return
        service = self._registry.find(session.contexts[message.context_id].abstract_syntax, command.field)
        if service is None:
            _forget(message)
            sentence = f"command {command.field:04X}H is not offered here"
            response = Response(command.response(UNRECOGNIZED_OPERATION, sentence))
        else:
            self._performing = Performing(session, message, self._send_message, lambda: self.is_established)
            try:
                response = await service.perform(self._performing)
            finally:
                self._performing = None
        if self.is_established:
            chunks = None if response.data_set is None else (response.data_set,)
            await self._send_message(message.context_id, response.command, chunks)

    def _cancel(self, message: Message) -> None:
        """C-CANCEL-RQ overtakes: it is for what is being performed, or for what still waits (PS3.7 9.3.2.3)."""
        _forget(message)
        performing, number = self._performing, message.command.responded_to
        if performing is not None and performing.message.command.message_id == number:
            performing.cancel()

    async def _send_message(self, context_id: int, command: Command, chunks: Iterable[Buffer] | None) -> None:
        for pdu in encode_message(context_id, command, chunks, self._peer_max_length):
            if not await self._can_answer():
                raise AssociationLost("the association ended while a message was sent")
            self._send(pdu)
        self._active_at = self._loop.time()

    async def _release(self, session: Session) -> None:
        await self._registry.released(session)
        if self.is_established:
            log.info("association released", extra=self._fields(delivered=session.delivered.total()))
            self._finish(release())

    def _end_if_drained(self) -> None:
        busy = self._task is not None or (self._assembler is not None and self._assembler.in_the_middle)
        if self._draining and not busy and self._state is not State.CLOSED:
            if self.is_established:
                self._send(abort(AbortSource.USER))
            self._close()

    def _abort(self, reason: AbortReason, sentence: str) -> None:
        """AA-1 before the association is established (service-user source), AA-8 in it (service-provider)."""
        if self._is_over():
            return
        log.warning("association aborted", extra=self._fields(reason=sentence))
        source = AbortSource.PROVIDER if self.is_established else AbortSource.USER
        self._finish(abort(source, reason))

    def _finish(self, pdu: bytes) -> None:
        """Send the last PDU, then wait for the peer to close, but not longer than ARTIM (Sta13)."""
        self._send(pdu)
        self._state = State.AWAIT_CLOSE
        self._let_go()
        self._start_artim()

    def _let_go(self) -> None:
        """Drop what was received and not performed, and what nobody will answer."""
        self._requests.lost()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._stream.clear()
        if self._assembler is not None:
            self._assembler.close()
        for message in self._waiting:
            _forget(message)
        self._waiting.clear()

    def _send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _close(self) -> None:
        self._let_go()
        self._state = State.CLOSED
        if self._transport is not None:
            self._transport.close()

    def _start_artim(self) -> None:
        """Association request/reject/release timer (PS3.8 9.1.5)."""
        self._timer = self._loop.call_later(self._limits.artim_timeout_s, self._artim_expired)

    def _artim_expired(self) -> None:
        """AA-2: close the transport."""
        if self._state is State.AWAIT_REQUEST:
            log.info("connection closed: no association request came", extra=self._fields())
        self.close_now()

    def _start_idle_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._active_at = self._loop.time()
        self._timer = self._loop.call_later(self._limits.idle_timeout_s, self._idle_check)

    def _idle_check(self) -> None:
        """One timer per association: it looks when the last bytes came, and goes to sleep until they are due."""
        due = self._active_at + self._limits.idle_timeout_s
        if self._task is None and not self._requests.waits and self._loop.time() >= due:
            log.warning("association idle for too long", extra=self._fields())
            self._finish(abort(AbortSource.USER))
            return
        wait = max(due - self._loop.time(), 1.0)
        self._timer = self._loop.call_later(wait, self._idle_check)

    def _fields(self, **values: object) -> dict[str, dict[str, object]]:
        name = None if self._session is None else self._session.association_id
        return fields(association_id=name, **values)


def _forget(message: Message | None) -> None:
    """Let go of a message that will not be performed."""
    if message is not None and message.data_set is not None:
        message.data_set.close()
