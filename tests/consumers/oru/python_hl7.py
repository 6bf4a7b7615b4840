"""python-hl7's MLLP server in a thread: it acknowledges what it parses."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import hl7
from hl7.mllp import start_hl7_server


class PythonHl7:
    """What the server received, as python-hl7 parsed it."""

    def __init__(self) -> None:
        self.messages: list[hl7.Message] = []
        self.connections = 0
        self.port = 0

    async def converse(self, reader: Any, writer: Any) -> None:
        self.connections += 1
        try:
            while True:
                message = await reader.readmessage()
                self.messages.append(message)
                writer.writemessage(message.create_ack())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the end of a connection
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


@contextmanager
def python_hl7(tls: ssl.SSLContext | None = None) -> Iterator[PythonHl7]:
    """A server for the time of the block."""
    made, ready = PythonHl7(), threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        # its own limit of 64 KiB is less than a long report
        server = await start_hl7_server(
            made.converse, "127.0.0.1", 0, limit=64 * 1024 * 1024, encoding="utf-8", ssl=tls
        )
        made.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        # those who are connected have gone, or go now
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait_for(asyncio.gather(*others), 30)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()
