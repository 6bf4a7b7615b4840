"""ClickHouse's HTTP interface over the embedded engine: what a server would answer, read-only for everyone.

``GET`` and ``POST`` on ``/`` with the query in the URL or the body, ``param_*`` for query parameters, formats by
``FORMAT`` clause or ``default_format``; ``/ping``. clickhouse-connect, Grafana and curl connect to it as they
would to a server. Only the audit writer of the same process knows the password of the account that may insert.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import re
import socket
import threading
import time
from typing import Final
from urllib.parse import unquote

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from consumers.audit.embedded import EmbeddedEngine, QueryRefused
from schemas.errors import ConfigurationError

log = logging.getLogger(__name__)

WRITER: Final = "audit_writer"

_INSERT: Final = re.compile(rb"\s*INSERT\s", re.IGNORECASE)
_INSERT_FORMAT: Final = re.compile(rb"\s+FORMAT\s+(\w+)\s", re.IGNORECASE)
_FORMAT: Final = re.compile(r"\s+FORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
#: HTTP status by ClickHouse error code; anything else is 500, as a server answers.
_STATUS: Final = {62: 400, 47: 404, 60: 404, 81: 404, 164: 403, 497: 403, 457: 400, 469: 400}


def create_app(engine: EmbeddedEngine, writer_password: str) -> Starlette:
    """ASGI application over one engine.

    Parameters
    ----------
    engine
        The open directory.
    writer_password
        Password of :data:`WRITER`; every other account, and none, may only read.
    """

    async def query(request: Request) -> Response:
        url = request.query_params
        # a server joins the query of the URL and the body; the data of an INSERT follow its FORMAT clause
        parts = (url.get("query", "").encode(), await request.body())
        message = b"\n".join(part for part in parts if part)
        if not message.strip():
            return PlainTextResponse("Ok.\n")
        params = {name[6:]: value for name, value in url.items() if name.startswith("param_")}
        output_format = url.get("default_format", request.headers.get("x-clickhouse-format", "TabSeparated"))
        may_write = _is_writer(request, writer_password)
        try:
            if may_write and _INSERT.match(message):
                await run_in_threadpool(_insert, engine, message, url.get("insert_deduplication_token"))
                answer, named = b"", None
            else:
                statement = message.decode("utf-8", "replace")
                named = _FORMAT.search(statement)
                run = engine.write if may_write else engine.read
                answer = await run_in_threadpool(run, statement, params, output_format)
        except QueryRefused as refused:
            return PlainTextResponse(
                f"{refused}\n",
                _STATUS.get(refused.code, 500),
                headers={"X-ClickHouse-Exception-Code": str(refused.code)},
            )
        return Response(
            answer,
            media_type="application/octet-stream",
            headers={
                "X-ClickHouse-Format": named.group(1) if named else output_format,
                "X-ClickHouse-Timezone": "UTC",
                "X-ClickHouse-Server-Display-Name": "scanstream-audit",
                "X-ClickHouse-Summary": "{}",
            },
        )

    async def ping(_: Request) -> Response:
        return PlainTextResponse("Ok.\n")

    return Starlette(routes=[Route("/", query, methods=["GET", "POST"]), Route("/ping", ping)])


def _is_writer(request: Request, password: str) -> bool:
    user = request.headers.get("x-clickhouse-user", request.query_params.get("user", ""))
    given = request.headers.get("x-clickhouse-key", request.query_params.get("password", ""))
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, given = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
    return user == WRITER and hmac.compare_digest(unquote(given).encode(), password.encode())


def _insert(engine: EmbeddedEngine, message: bytes, token: str | None) -> None:
    """Insert the data that follow the FORMAT clause; the token of the URL becomes a setting of the statement."""
    found = _INSERT_FORMAT.search(message)
    if found is None:
        raise QueryRefused("Code: 73. DB::Exception: name the format of the data: INSERT … FORMAT Native", 73)
    settings = ""
    if token is not None:
        settings = f"SETTINGS insert_deduplication_token = '{re.sub(r'[^0-9A-Za-z:._-]', '', token)}'"
    statement, input_format = message[: found.start()].decode(), found.group(1).decode()
    engine.insert(statement, settings, message[found.end() :], input_format)


class HttpInterface:
    """The application on a loopback port, served from a thread of its own.

    Parameters
    ----------
    app
        From :func:`create_app`.
    host, port
        Where to listen; port 0 takes a free one.

    Raises
    ------
    ConfigurationError
        The port is in use.
    """

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise ConfigurationError(
                f"port {port} on {host} is in use: set CLICKHOUSE_EMBEDDED_HTTP_PORT to a free one"
            ) from error
        self.host, self.port = host, int(self._socket.getsockname()[1])
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", loop="asyncio")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="clickhouse-http", daemon=True
        )

    def start(self, timeout_s: float = 10.0) -> None:
        """Serve, and return once requests are answered."""
        self._thread.start()
        deadline = time.monotonic() + timeout_s
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise ConfigurationError(
                    f"the audit store's HTTP interface did not start on {self.host}:{self.port}"
                )
            time.sleep(0.01)

    def close(self) -> None:
        """Answer what is under way, then stop."""
        self._server.should_exit = True
        self._thread.join(5.0)
        self._socket.close()
