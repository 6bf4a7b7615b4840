"""One connection as association acceptor: the state machine of PS3.8 9.2 on asyncio.

States: waiting for A-ASSOCIATE-RQ → established → waiting for the peer to close. Bytes are taken in the
transport's callback without a task per connection; a task runs only while operations are performed
(:mod:`producers.dimse.conversation`). Guarantee: whatever a peer sends, the answer is a response, a rejection or
an A-ABORT, and what it held is let go.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from enum import Enum
from typing import Protocol, cast

from producers.dimse.acknowledgement import acknowledge_at_once
from producers.dimse.acse import AssociationRequest, abort, decode_request, encode_accept, reject, release
from producers.dimse.admission import Admitted, Caller
from producers.dimse.conversation import Conversation
from producers.dimse.exchange import Requests
from producers.dimse.limits import Limits
from producers.dimse.negotiation import Acceptance, Policy, Rejection, negotiate
from producers.dimse.outlet import Outlet
from producers.dimse.pdu import AbortReason, AbortSource, BadPdu, Body, PduStream, PduType
from producers.dimse.service import Registry, Session
from producers.dimse.watch import Progress, Watch
from schemas.logs import fields

log = logging.getLogger(__name__)


class State(Enum):
    """States of PS3.8 9.2.1 that an acceptor is in while the transport is open."""

    AWAIT_REQUEST = "Sta2"
    ESTABLISHED = "Sta6"
    AWAIT_CLOSE = "Sta13"
    CLOSED = "Sta1"


class Host(Protocol):
    """What an association needs of the server that holds it."""

    def admit(self, request: AssociationRequest, caller: Caller) -> Admitted | Rejection:
        """Whether a peer may hold an association, and what it may do."""
        ...

    def new_association_id(self) -> str:
        """A unique name."""
        ...

    def connected(self, connection: Association, address: str) -> None:
        """The connection holds no association (yet, or any more)."""
        ...

    def opened(self, association: Association, calling_ae_title: str) -> None:
        """It holds one."""
        ...

    def released(self, calling_ae_title: str) -> None:
        """The association that it held has ended."""
        ...

    def ended(self, connection: Association) -> None:
        """The connection is closed."""
        ...

    def rejected(self, request: AssociationRequest, caller: Caller, rejection: Rejection) -> None:
        """An association was rejected."""
        ...

    def unheard(self, what: str) -> None:
        """The connection ends, and never asked for an association."""
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
        self._caller = Caller("")
        self._stream = PduStream(limits.max_pdu_bytes)
        self._state = State.AWAIT_REQUEST
        self._watch = Watch(loop, limits)
        self._active_at = 0.0
        self._outlet: Outlet | None = None
        self._conversation: Conversation | None = None
        self._draining = False

    @property
    def is_established(self) -> bool:
        """Whether it was accepted and has not ended."""
        return self._state is State.ESTABLISHED

    @property
    def waiting(self) -> int:
        """Requests that nobody performs yet."""
        return 0 if self._conversation is None else self._conversation.waiting

    def _is_over(self) -> bool:
        """Whether nothing that the peer still sends counts (AA-6)."""
        return self._state in (State.AWAIT_CLOSE, State.CLOSED)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Transport connection indication: start ARTIM (AE-5)."""
        self._transport = cast(asyncio.Transport, transport)
        self._caller = caller_of(transport)
        self._host.connected(self, self._caller.address)
        self._watch.start_artim(self._artim_expired)

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        if self._is_over():
            return
        try:
            for pdu_type, body in self._stream.feed(data):
                # Only whole PDUs count as activity: who trickles bytes is as idle as who sends none.
                self._active_at = self._loop.time()
                self._take(pdu_type, body)
                if self._is_over():
                    return
        except BadPdu as bad:
            self.abort(bad.reason, bad.sentence)
        except Exception as error:  # noqa: BLE001 - a peer must never bring the gateway down
            self.abort(AbortReason.NOT_SPECIFIED, f"{type(error).__name__} while reading")

    def pause_writing(self) -> None:
        """The peer does not take our answers as fast as it asks."""
        if self._outlet is not None:
            self._outlet.pause()

    def resume_writing(self) -> None:
        """It has taken most of them."""
        if self._outlet is not None:
            self._outlet.resume()

    def eof_received(self) -> bool:
        """The peer closed its side: so do we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything (AA-4 when it was not released)."""
        if self.is_established:
            reason = type(exc).__name__ if exc else "closed by the peer"
            log.warning("association lost", extra=self._fields(reason=reason))
        self._leave(State.CLOSED)
        self._let_go()
        self._host.ended(self)

    def drain(self) -> None:
        """End as soon as no message is under way (the gateway stops)."""
        self._draining = True
        self.rested()

    def close_now(self) -> None:
        """End at once."""
        if self._transport is not None:
            self._transport.abort()

    def abort(self, reason: AbortReason, sentence: str) -> None:
        """AA-1 before the association is established (service-user source), AA-8 in it (service-provider)."""
        if self._is_over():
            return
        log.warning("association aborted", extra=self._fields(reason=sentence))
        source = AbortSource.PROVIDER if self.is_established else AbortSource.USER
        self._finish(abort(source, reason))

    def confirm_release(self) -> None:
        """Answer A-RELEASE-RQ (AR-4)."""
        if self.is_established and self._conversation is not None:
            delivered = self._conversation.session.delivered.total()
            log.info("association released", extra=self._fields(delivered=delivered))
            self._finish(release())

    def read(self, on: bool) -> None:
        """Take bytes from the peer, or let it wait."""
        if self._transport is None or self._transport.is_closing():
            return
        if on:
            self._transport.resume_reading()
            self._active_at = self._loop.time()
        else:
            self._transport.pause_reading()

    def rested(self) -> None:
        """Nothing is under way any more: the idle time starts, and a draining association ends."""
        self._active_at = self._loop.time()
        conversation = self._conversation
        busy = conversation is not None and (conversation.is_busy or conversation.in_the_middle)
        if self._draining and not busy and self._state is not State.CLOSED:
            if self.is_established:
                self._send(abort(AbortSource.USER))
            self._close()

    def _take(self, pdu_type: PduType, body: Body) -> None:
        conversation = self._conversation
        if self.is_established and conversation is not None:
            if pdu_type is PduType.P_DATA_TF:
                conversation.take(body)
                return
            if pdu_type is PduType.RELEASE_RQ:
                conversation.release()
                return
        if pdu_type is PduType.ABORT:
            if self.is_established:
                log.info("association aborted by the peer", extra=self._fields(source=body[2], reason=body[3]))
            self._close()
        elif self._state is State.AWAIT_REQUEST and pdu_type is PduType.ASSOCIATE_RQ:
            self._open(decode_request(bytes(body)))
        else:
            raise BadPdu(AbortReason.UNEXPECTED_PDU, f"{pdu_type.name} in state {self._state.value}")

    def _open(self, request: AssociationRequest) -> None:
        admitted = self._host.admit(request, self._caller)
        answer = admitted if isinstance(admitted, Rejection) else negotiate(request, self._policy, admitted.may)
        if isinstance(answer, Rejection):
            self._reject(request, answer)
        elif isinstance(admitted, Admitted):
            self._establish(request, admitted, answer)

    def _reject(self, request: AssociationRequest, rejection: Rejection) -> None:
        log.warning(
            "association rejected",
            extra=fields(
                calling_ae_title=request.calling_ae_title,
                called_ae_title=request.called_ae_title,
                address=self._caller.address,
                reason=rejection.sentence,
            ),
        )
        self._host.rejected(request, self._caller, rejection)
        self._finish(reject(rejection.result, rejection.source, rejection.reason))

    def _establish(self, request: AssociationRequest, admitted: Admitted, answer: Acceptance) -> None:
        patience_s = self._limits.idle_timeout_s
        outlet = Outlet(self._send, lambda: self.is_established, self._stuck, request.user.max_length, patience_s)
        connection = None if self._transport is None else self._transport.get_extra_info("socket")
        requests = Requests(outlet.send, self._regulate, patience_s, lambda: acknowledge_at_once(connection))
        session = Session(
            self._host.new_association_id(),
            request.calling_ae_title,
            request.called_ae_title,
            answer.contexts,
            requests,
            may=admitted.may,
            urgent=admitted.urgent,
            extended=answer.user.extended,
        )
        self._outlet = outlet
        self._conversation = Conversation(self, session, self._registry, outlet, requests, answer.operations)
        self._state = State.ESTABLISHED
        self._host.opened(self, session.calling_ae_title)
        self._send(encode_accept(request, answer.answers, answer.user, self._limits.max_pdu_bytes))
        self._watch.start_idle(self._progress, self._idle)
        log.info(
            "association opened",
            extra=self._fields(
                calling_ae_title=request.calling_ae_title,
                called_ae_title=request.called_ae_title,
                address=self._caller.address,
                implementation=request.user.implementation_version,
                contexts_accepted=len(answer.contexts),
                contexts_refused=len(answer.answers) - len(answer.contexts),
                operations=answer.operations,
            ),
        )

    def _finish(self, pdu: bytes) -> None:
        """Send the last PDU, then wait for the peer to close, but not longer than ARTIM (Sta13)."""
        self._send(pdu)
        self._leave(State.AWAIT_CLOSE)
        self._let_go()
        self.read(True)
        self._watch.start_artim(self._artim_expired)

    def _leave(self, state: State) -> None:
        """Whatever ends an association, its place is free from then on; the connection counts as a silent one."""
        was_established, self._state = self.is_established, state
        if was_established and self._conversation is not None:
            self._host.released(self._conversation.session.calling_ae_title)
            self._host.connected(self, self._caller.address)

    def _let_go(self) -> None:
        """Drop what was received and not performed, and what nobody will answer."""
        self._watch.stop()
        self._stream.clear()
        if self._conversation is not None:
            self._conversation.close()

    def _send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _close(self) -> None:
        self._leave(State.CLOSED)
        self._let_go()
        if self._transport is not None:
            self._transport.close()

    def _regulate(self) -> None:
        self._active_at = self._loop.time()
        if self.is_established and self._conversation is not None:
            self._conversation.regulate()

    def _progress(self) -> Progress:
        conversation = self._conversation
        if conversation is None:  # pragma: no cover - asked of established associations
            return Progress(self._active_at, 0, in_the_middle=False, is_busy=False)
        return Progress(self._active_at, conversation.messages, conversation.in_the_middle, conversation.is_busy)

    def _artim_expired(self) -> None:
        """AA-2: close the transport."""
        if self._state is State.AWAIT_REQUEST:
            self._host.unheard("no association request came in time")
        self.close_now()

    def _idle(self, reason: str) -> None:
        log.warning(reason, extra=self._fields())
        self._finish(abort(AbortSource.USER))

    def _stuck(self) -> None:
        """The peer takes nothing, so no A-ABORT either."""
        log.warning("association cut off: the peer takes no answers", extra=self._fields())
        self._leave(State.CLOSED)
        self.close_now()

    def _fields(self, **values: object) -> dict[str, dict[str, object]]:
        name = None if self._conversation is None else self._conversation.session.association_id
        return fields(association_id=name, **values)


def caller_of(transport: asyncio.BaseTransport) -> Caller:
    """Where a connection comes from."""
    name, secure = transport.get_extra_info("peername"), transport.get_extra_info("ssl_object")
    address = str(name[0]) if isinstance(name, tuple) and name else ""
    certificate = None if secure is None else secure.getpeercert(binary_form=True)
    return Caller(address, hashlib.sha256(certificate).hexdigest() if certificate else None)
