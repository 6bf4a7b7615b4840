"""TCP connections → payloads in hand → answers, in the order of the messages of each connection.

Guarantee: a connection holds no more than its bound of bytes and of unanswered messages; one that is silent too
long, drips its bytes or sends what is no MLLP is closed; whoever may not send is closed at once.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

from producers.hl7.listener.sources import Source, at
from producers.hl7.listener.writer import ContextWriter, Work
from producers.hl7.mllp import Deframer, FrameError, frame
from producers.telemetry import Telemetry
from schemas.clinical import Hl7Settings
from schemas.errors import ConfigurationError
from schemas.logs import fields

log = logging.getLogger(__name__)

_READ_BYTES: Final = 64 * 1024
#: Unanswered messages of one connection; beyond it nothing more is read from it.
_PIPELINED: Final = 512
_HANDSHAKE_S: Final = 10.0
_SEND_S: Final = 30.0


class MllpServer:
    """Listener on one port.

    Parameters
    ----------
    settings
        Address and bounds.
    sources
        Who may send.
    writer
        Takes payloads.
    telemetry
        Counts connections.
    clock, now
        Monotonic seconds; time of day.
    """

    def __init__(
        self,
        settings: Hl7Settings,
        sources: Sequence[Source],
        writer: ContextWriter,
        telemetry: Telemetry,
        clock: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._writer = writer
        self._telemetry = telemetry
        self._clock = clock
        self._now = now
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._ending = asyncio.Event()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server else 0

    async def listen(self, tls: ssl.SSLContext | None) -> None:
        """Open the port.

        Raises
        ------
        ConfigurationError
            It cannot be opened.
        """
        host, port = self._settings.host, self._settings.port
        handshake_s = None if tls is None else _HANDSHAKE_S
        try:
            self._server = await asyncio.start_server(
                self._accept, host, port, backlog=128, ssl=tls, ssl_handshake_timeout=handshake_s
            )
        except OSError as error:
            raise ConfigurationError(
                f"HL7 port {port} on {host} cannot be opened ({error.strerror}): stop the program that has it or "
                "set SCANSTREAM_HL7_PORT"
            ) from error

    async def stop(self, timeout_s: float) -> None:
        """Take nothing more, send the answers of what is in hand, close."""
        if self._server is not None:
            self._server.close()
        self._ending.set()
        if self._connections:
            await asyncio.wait(self._connections, timeout=timeout_s)
        for task in self._connections:
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        address = str((writer.get_extra_info("peername") or ("?",))[0])
        sources = at(self._sources, address)
        if task is None or not sources or len(self._connections) >= self._settings.max_connections:
            reason = "too many connections" if sources else "no source may send from there"
            log.warning("HL7 connection refused", extra=fields(address=address, reason=reason))
            writer.close()
            return
        self._connections.add(task)
        self._telemetry.gauge("scanstream_hl7_connections", len(self._connections))
        try:
            await _Conversation(reader, writer, sources, self._settings, self._writer, self._clock, self._now).run(
                self._ending
            )
        except FrameError as error:
            log.warning("HL7 connection closed", extra=fields(address=address, reason=str(error)))
        except (TimeoutError, OSError) as error:
            reason = "too slow or silent too long" if isinstance(error, TimeoutError) else type(error).__name__
            log.info("HL7 connection ended", extra=fields(address=address, reason=reason))
        finally:
            self._connections.discard(task)
            self._telemetry.gauge("scanstream_hl7_connections", len(self._connections))
            with suppress(OSError):
                writer.close()


class _Conversation:
    """One connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        sources: tuple[Source, ...],
        settings: Hl7Settings,
        works: ContextWriter,
        clock: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._sources = sources
        self._settings = settings
        self._works = works
        self._clock = clock
        self._now = now
        self._answers: asyncio.Queue[asyncio.Future[list[bytes]] | None] = asyncio.Queue(_PIPELINED)

    async def run(self, ending: asyncio.Event) -> None:
        """Until either side ends; what is in hand is answered before."""
        sending = asyncio.create_task(self._send())
        receiving = asyncio.create_task(self._receive())
        stopping = asyncio.create_task(ending.wait())
        try:
            await asyncio.wait([sending, receiving, stopping], return_when=asyncio.FIRST_COMPLETED)
            receiving.cancel()
            with suppress(asyncio.CancelledError):
                await receiving
        finally:
            stopping.cancel()
            if sending.done():
                sending.exception()  # the connection is gone, and nobody waits for answers
            else:
                putting = asyncio.create_task(self._answers.put(None))
                await asyncio.wait([sending, putting], return_when=asyncio.FIRST_COMPLETED)
                with suppress(TimeoutError):
                    await asyncio.wait_for(sending, _SEND_S)
                putting.cancel()

    async def _receive(self) -> None:
        deframer = Deframer(self._settings.max_message_bytes)
        began: float | None = None
        while True:
            wait_s = self._settings.idle_timeout_s
            if began is not None:
                wait_s = self._settings.message_timeout_s - (self._clock() - began)
            data = await asyncio.wait_for(self._reader.read(_READ_BYTES), wait_s)
            if not data:
                return
            payloads = deframer.feed(data)
            for payload in payloads:
                await self._hand_over(payload)
            if not deframer.is_inside:
                began = None
            elif began is None or payloads:
                began = self._clock()

    async def _hand_over(self, payload: bytes) -> None:
        future: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        work = Work(payload, self._sources, self._now(), self._clock(), lambda found: _settle(future, found))
        await self._answers.put(future)
        if not self._works.submit(work):
            _settle(future, self._works.refusal(work))

    async def _send(self) -> None:
        while (future := await self._answers.get()) is not None:
            self._writer.write(b"".join(map(frame, await future)))
            if self._answers.empty():
                await asyncio.wait_for(self._writer.drain(), _SEND_S)
        await asyncio.wait_for(self._writer.drain(), _SEND_S)


def _settle(future: asyncio.Future[list[bytes]], answers: list[bytes]) -> None:
    if not future.done():
        future.set_result(answers)
