"""One whole association on a transport in memory: negotiation, services, release and abort (PS3.8 9.2)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from producers.dimse.acse import AssociationRequest
from producers.dimse.admission import Admitted, Caller
from producers.dimse.association import Association
from producers.dimse.command import CommandField
from producers.dimse.limits import Limits
from producers.dimse.negotiation import Policy, Rejection
from producers.dimse.pdu import HEADER, AbortReason, AbortSource, PduStream, PduType
from producers.dimse.rights import RIGHTS
from producers.dimse.service import Exchange, Registry, Response, Session
from producers.dimse.storage import STORAGE_CLASSES, STORAGE_TRANSFER_SYNTAXES
from producers.dimse.verification import TRANSFER_SYNTAXES, VERIFICATION, Verification
from producers.store.headers import read_headers
from producers.store.outcome import Refused, Status
from producers.store.spool import Spool
from tests.fuzz.split import cut
from tests.fuzz.upper_layer import MAX_PDU_BYTES

_LAST = frozenset({PduType.ASSOCIATE_RJ, PduType.RELEASE_RP, PduType.ABORT})
_MAX_TURNS = 10_000
_loop: asyncio.AbstractEventLoop | None = None


def association(data: bytes) -> None:
    """Answers are whole PDUs, an end is the last of them, no error is unforeseen, and no spool stays open."""
    global _loop
    if _loop is None:
        _loop = asyncio.new_event_loop()
    with _errors_of_the_gateway() as errors:
        written, opened = _loop.run_until_complete(_converse(data))
    answers = list(PduStream(1 << 24).feed(written))
    assert sum(HEADER.size + len(body) for _, body in answers) == len(written)
    assert not any(pdu_type in _LAST for pdu_type, _ in answers[:-1])
    unforeseen = bytes((0, 0, AbortSource.PROVIDER, AbortReason.NOT_SPECIFIED))
    assert (PduType.ABORT, unforeseen) not in answers, errors
    assert not errors, errors
    assert all(spool.closed for spool in opened), "a data set is still held"


async def _converse(data: bytes) -> tuple[bytes, list[_Watched]]:
    mode, parts = cut(data)
    transport, reader = _Transport(), _Reader()
    registry = Registry()
    registry.register(Verification(), CommandField.C_ECHO_RQ, [VERIFICATION], TRANSFER_SYNTAXES)
    registry.register(reader, CommandField.C_STORE_RQ, STORAGE_CLASSES, STORAGE_TRANSFER_SYNTAXES)
    one = Association(
        _Host(),
        Policy("SCANSTREAM", False, registry.offers),
        registry,
        Limits(MAX_PDU_BYTES, 60.0, 60.0),
        asyncio.get_running_loop(),
    )
    one.connection_made(transport)
    for part in parts:
        if transport.is_closing():
            break
        one.data_received(part)
        if mode & 0x40 or not transport.is_reading():
            await _quiet()
    await _quiet()
    one.connection_lost(None)
    await _quiet()
    return bytes(transport.written), reader.opened


async def _quiet() -> None:
    """Let everything run that can."""
    for _ in range(_MAX_TURNS):
        await asyncio.sleep(0)
        if len(asyncio.all_tasks()) == 1:
            return
    raise AssertionError("a task does not end")


class _Transport(asyncio.Transport):
    """Takes everything, in memory."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = bytearray()
        self._open = self._reading = True

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        assert self._open
        self.written += data

    def close(self) -> None:
        self._open = False

    def abort(self) -> None:
        self._open = False

    def is_closing(self) -> bool:
        return not self._open

    def is_reading(self) -> bool:
        return self._reading

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True


class _Watched(Spool):
    """A spool that tells whether it was let go of."""

    closed = False

    def close(self) -> None:
        self.closed = True
        super().close()


class _Reader:
    """A storage service that reads what the store would read, and keeps nothing."""

    def __init__(self) -> None:
        self.opened: list[_Watched] = []

    def new_spool(self) -> Spool:
        self.opened.append(_Watched())
        return self.opened[-1]

    async def perform(self, exchange: Exchange) -> Response:
        command, spool = exchange.message.command, exchange.message.data_set
        await asyncio.sleep(0)
        if spool is None:
            return Response(command.response(Status.CANNOT_UNDERSTAND))
        try:
            read_headers(spool.prefix, spool.size, exchange.context.transfer_syntax)
        except Refused as refused:
            return Response(command.response(refused.status, refused.sentence))
        finally:
            spool.close()
        return Response(command.response(Status.SUCCESS))

    async def released(self, session: Session) -> None:
        await asyncio.sleep(0)


class _Host:
    """A server with one association."""

    def admit(self, request: AssociationRequest, caller: Caller) -> Admitted | Rejection:
        return Admitted(RIGHTS)

    def new_association_id(self) -> str:
        return "fuzz-1"

    def connected(self, connection: Association, address: str) -> None:
        return None

    def opened(self, association: Association, calling_ae_title: str) -> None:
        return None

    def released(self, calling_ae_title: str) -> None:
        return None

    def ended(self, connection: Association) -> None:
        return None

    def rejected(self, request: AssociationRequest, caller: Caller, rejection: Rejection) -> None:
        return None

    def unheard(self, what: str) -> None:
        return None


@contextmanager
def _errors_of_the_gateway() -> Iterator[list[str]]:
    """Messages that the gateway logs as errors; less than that is silent."""
    errors: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            errors.append(self.format(record))

    logger, handler = logging.getLogger("producers"), Collect(logging.ERROR)
    logger.addHandler(handler)
    try:
        yield errors
    finally:
        logger.removeHandler(handler)
