"""Strangers at the HTTP port: silent, slow, endless or many, they take nothing from anybody."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from producers.dicomweb.http_protocol import BoundedHttp
from tests.producers.dicomweb.conftest import Serving
from tests.services import wait_for
from tests.tools import free_port

HELLO = b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n"


class Strict(BoundedHttp):
    """Bounds that a test reaches."""

    max_connections = 5
    head_s = 1.0


async def answer(request: Request) -> Response:
    if request.url.path == "/early":
        return PlainTextResponse("no", 413)
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    port = free_port()
    routes = [Route("/{any:path}", answer, methods=["GET", "POST"])]
    with Serving(Starlette(routes=routes), port, Strict):
        yield port


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def is_closed(connection: socket.socket) -> bool:
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize("said", [b"", b"\r\n", b"GET", HELLO[:-2], HELLO + b"\r\n", HELLO + b"GET / HT"])
def test_who_does_not_finish_the_head_of_a_request_is_cut_off(port: int, said: bytes) -> None:
    with connected(port) as connection:
        connection.sendall(said)
        assert is_closed(connection)


@pytest.mark.parametrize("head", [b"GET /", HELLO[:-2] + b"X: ", HELLO + HELLO[:-2] + b"X: "])
def test_a_head_without_an_end_is_not_kept(port: int, head: bytes) -> None:
    with connected(port) as connection, pytest.raises(ConnectionError):
        connection.sendall(head)
        for _ in range(1000):
            connection.sendall(b"a" * 10_000)


def test_more_connections_than_there_is_room_for_are_closed_at_once(port: int) -> None:
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(connected(port)).sendall(HELLO)
        assert is_closed(stack.enter_context(connected(port)))
    address = f"http://127.0.0.1:{port}/"

    def is_served() -> bool:
        try:
            return httpx.get(address, timeout=60).status_code == 200
        except httpx.TransportError:
            return False

    wait_for(is_served, "room after the others have gone")


def test_bodies_trailers_and_early_answers_are_served(port: int) -> None:
    address = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=address, timeout=60) as client:
        for _ in range(3):
            assert client.get("/").text == "0"
            assert client.post("/", content=bytes(5_000_000)).text == "5000000"
            assert client.post("/early", content=bytes(5_000_000)).status_code == 413
    with connected(port) as connection:
        head = b"POST / HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + b"3\r\nabc\r\n0\r\nTrailer: 1\r\n\r\n" + HELLO)
        found = b""
        while found.count(b"HTTP/1.1 200") < 2:
            found += connection.recv(65536)
