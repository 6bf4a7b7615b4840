"""One ASGI application on one port, until the process must end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from schemas.errors import ConfigurationError

SHUTDOWN_S: Final = 3
#: How long a client may leave what was sent to it unread. Then the kernel ends the connection (RFC 5482): the
#: server itself would keep what it could not send for as long as the client holds its end open.
UNREAD_S: Final = 30


def listen(host: str, port: int) -> socket.socket:
    """Socket that listens; port 0 takes any free one.

    Raises
    ------
    ConfigurationError
        The port is in use or the address is not ours.
    """
    try:
        listener = socket.create_server((host, port), backlog=512)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"port {port} on {host} cannot be opened ({error}): end the process that has it, "
            "or set SCANSTREAM_API_PORT to another one"
        ) from error
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # not on every system; connections have it from their listener
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_S * 1000)
    return listener


@contextmanager
def serving(app: ASGIApp, listener: socket.socket, sleep: Callable[[float], None]) -> Iterator[None]:
    """Serve in a thread of its own for the length of the block; answers when the block begins.

    Parameters
    ----------
    app
        The application.
    listener
        Where it listens; the caller closes it.
    sleep
        Waits between looks at the server's start, in seconds.
    """
    # log_config None: our own JSON log stays; a thread of its own: uvicorn leaves the process's signals alone
    config = uvicorn.Config(
        app, log_config=None, access_log=False, ws="websockets-sansio", timeout_graceful_shutdown=SHUTDOWN_S
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="http", daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            sleep(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join(SHUTDOWN_S + 2)
