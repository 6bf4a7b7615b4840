"""Clients that follow and do not read, over real sockets: nobody waits for them, and nothing is kept for them."""

from __future__ import annotations

import socket
from dataclasses import replace

import httpx
import psutil
import pytest

from dashboards.api import event_stream, server
from dashboards.live.feed import Feed
from schemas.events import TaskState
from tests.dashboards.api.conftest import Service, served
from tests.dashboards.story import Story
from tests.services import wait_for

ROUNDS, AT_ONCE = 40, 250


def silent(address: str, request: bytes) -> socket.socket:
    """Client that asks, takes the head of the answer, and then reads no more."""
    host, port = address.split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((host, int(port)))
    client.sendall(request)
    assert client.recv(12).startswith(b"HTTP/1.1 ")
    return client


def held_by_server(client: socket.socket) -> bool:
    """Whether our side of the connection, in this process, is still there."""
    port = client.getsockname()[1]
    return any(one.raddr and one.raddr.port == port for one in psutil.Process().net_connections("tcp4"))


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /subscribers/RIS HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    ],
    ids=["events", "event channel"],
)
def test_a_client_that_does_not_read_is_dropped_and_holds_up_nobody(
    service: Service, monkeypatch: pytest.MonkeyPatch, request_head: bytes
) -> None:
    monkeypatch.setattr(event_stream, "PATIENCE_S", 1.0)
    monkeypatch.setattr(server, "UNREAD_S", 2)
    service.view.feed = Feed(most_followers=2)
    story = Story("1.2.3")
    service.read(story.task())
    with served(service) as address, httpx.Client(base_url=f"http://{address}", timeout=60) as http:
        http.post("/workitems/1.2.840.10008.5.1.4.34.5/subscribers/RIS").raise_for_status()
        with silent(address, request_head) as client, http.stream("GET", "/v1/events") as stream:
            assert http.get("/v1/events").status_code == 503, "both follow"
            heard = (line for line in stream.iter_lines() if line.startswith("data: "))
            # ten megabytes for the silent one: far more than what lies between two sockets
            for number in range(ROUNDS):
                for progress in range(AT_ONCE):
                    status = story.status(TaskState.INFERRING, 3, progress=progress % 100)
                    service.read(replace(status, reason=f"{number} " + "x" * 1000))
                for _ in range(AT_ONCE):
                    assert f'"{number} x' in next(heard), "the other one hears each, beside the silent one"
            assert http.get(f"/v1/tasks/{story.task_id}").json()["progress"] == (AT_ONCE - 1) % 100
            wait_for(lambda: not held_by_server(client), "the silent client to be dropped", 30)
        with http.stream("GET", "/v1/events") as again:
            assert again.status_code == 200, "its place is free"
