"""HTTP/1.1 connections of strangers → requests, with bounds that uvicorn does not set.

A connection has so long to say a whole request head, which has so many bytes, and there are so many connections;
else silent ones would take all files that the process may have open, from the DICOM listener too.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_CONNECTIONS: Final = 1000
MAX_HEAD_BYTES: Final = 64 * 1024
#: Seconds from a connection, or from the first byte of a further request, to the end of the request's head.
HEAD_S: Final = 30.0


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's connection with a bounded wait for a bounded head."""

    max_connections = MAX_CONNECTIONS
    max_head_bytes = MAX_HEAD_BYTES
    head_s = HEAD_S

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_body = False
        self._in_head = False
        self._ended = False
        self._head_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """A client has connected."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.abort()
        else:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._forget_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; what belongs to a head that is not whole counts."""
        self._ended = False
        super().data_received(data)
        if self._in_body or self.transport.is_closing():
            return
        cycle: RequestResponseCycle | None = self.cycle
        is_answering = cycle is not None and not cycle.response_complete
        if not self._in_head and is_answering:
            return
        if self._ended and not self._in_head:
            return
        # Bytes that came with the end of a body are mostly the body's; a head goes on in the next ones.
        self._head_bytes += 0 if self._ended else len(data)
        if self._head_bytes > self.max_head_bytes:
            self.send_400_response("The head of the request is too long.")
        elif self._deadline is None:
            self._expect_head()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or one of a trailer, which nobody needs."""
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head, self._in_body = False, True
        self._forget_deadline()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is whole."""
        self._in_body, self._head_bytes, self._ended = False, 0, True
        super().on_message_complete()

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(self.head_s, self.transport.abort)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
