"""Connections that break, hang, or never come about."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from consumers.stow.client import StowClient
from consumers.stow.web import DicomWeb
from schemas.errors import ConfigurationError, DestinationUnavailable, TransientFailure
from schemas.events import DeliveryStatus
from tests.consumers.stow.connected import answering, connected
from tests.consumers.stow.objects import SEG, SR
from tests.consumers.stow.pacs import Answer, Misbehave, Request, ScriptedPacs, stored
from tests.tools import free_port


def test_a_connection_that_breaks_is_tried_once_more_at_once(pacs: ScriptedPacs, client: StowClient) -> None:
    def close(connection: socket.socket) -> None:
        connection.shutdown(socket.SHUT_RDWR)

    def script(request: Request) -> Answer:
        if len(pacs.requests) == 1:
            raise Misbehave(close)
        return Answer(200, stored("1.3"))

    pacs.script = script
    assert client.store([SEG])[0].status is DeliveryStatus.STORED
    assert len(pacs.posts()) == 2
    assert len({len(request.body) for request in pacs.posts()}) == 1, "the second request carries the whole body"


@pytest.mark.parametrize(
    "fragment",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf", b"HTTP/1.1 2", b"\x00\x01garbage\r\n\r\n"],
)
def test_an_answer_that_breaks_off_is_a_transient_failure(
    pacs: ScriptedPacs, client: StowClient, fragment: bytes
) -> None:
    def half(connection: socket.socket) -> None:
        connection.sendall(fragment)
        connection.shutdown(socket.SHUT_RDWR)

    def script(request: Request) -> Answer:
        raise Misbehave(half)

    pacs.script = script
    with pytest.raises(TransientFailure, match="broke the connection"):
        client.store([SEG])


def hanging(pacs: ScriptedPacs, is_hung: Callable[[Request], bool]) -> threading.Event:
    """No answer to such requests until the event is set."""
    released = threading.Event()

    def script(request: Request) -> Answer:
        if is_hung(request):
            released.wait(30)
        return Answer(200, b"[]")

    pacs.script = script
    return released


def test_a_pacs_that_hangs_is_away(pacs: ScriptedPacs) -> None:
    released = hanging(pacs, lambda _: True)
    with connected(pacs, timeout_s=0.3) as client, pytest.raises(DestinationUnavailable, match="ReadTimeout"):
        client.store([SR])
    released.set()


def test_a_pacs_that_hangs_on_one_result_is_not_away(pacs: ScriptedPacs) -> None:
    released = hanging(pacs, lambda request: request.method == "POST")
    with connected(pacs, timeout_s=0.3) as client, pytest.raises(TransientFailure, match="answers other requests"):
        client.store([SR])
    released.set()


@pytest.mark.parametrize("body", [b"x" * 1000, b"x" * 10_000_000])
def test_an_answer_that_does_not_end_is_given_up(pacs: ScriptedPacs, body: bytes) -> None:
    gone = threading.Event()

    def drip(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not gone.wait(0.02):
                connection.sendall(b"%x\r\n%s\r\n" % (len(body), body))

    def script(request: Request) -> Answer:
        if request.method == "POST":
            raise Misbehave(drip)
        return Answer(200, b"[]")

    pacs.script = script
    with connected(pacs, timeout_s=0.1) as client, pytest.raises(TransientFailure, match="answers other requests"):
        client.store([SR])
    gone.set()


def test_proxies_of_the_environment_are_not_asked(pacs: ScriptedPacs, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    answering(pacs, Answer(200, stored("1.5")))
    with connected(pacs) as client:
        assert client.store([SR])[0].status is DeliveryStatus.STORED


def test_a_pacs_that_is_not_there_is_away() -> None:
    web = DicomWeb(f"http://127.0.0.1:{free_port()}/dicom-web", None, timeout_s=5.0)
    client = StowClient(web, 1)
    with pytest.raises(DestinationUnavailable, match="SCANSTREAM_STOW_PACS_URL"):
        client.store([SEG])
    with pytest.raises(DestinationUnavailable):
        client.probe()
    web.close()


def test_credentials_are_sent(pacs: ScriptedPacs) -> None:
    answering(pacs, Answer(200, stored("1.3")))
    with connected(pacs, auth=("reader", "s3cret")) as client:
        client.store([SEG])
    assert pacs.requests[0].headers["authorization"] == "Basic cmVhZGVyOnMzY3JldA=="


@pytest.mark.parametrize(("status", "up"), [(200, True), (204, True), (400, True), (404, False), (500, False)])
def test_a_probe_asks_for_nobodys_data(pacs: ScriptedPacs, client: StowClient, status: int, up: bool) -> None:
    pacs.script = lambda _: Answer(status)
    if up:
        client.probe()
    else:
        with pytest.raises(DestinationUnavailable):
            client.probe()
    assert pacs.requests[0].path == "/dicom-web/studies?StudyInstanceUID=2.25.0&limit=1"


def test_a_probe_that_is_broken_off_finds_the_pacs_away(pacs: ScriptedPacs, client: StowClient) -> None:
    def script(request: Request) -> Answer:
        raise Misbehave(lambda connection: connection.shutdown(socket.SHUT_RDWR))

    pacs.script = script
    with pytest.raises(DestinationUnavailable):
        client.probe()


@pytest.mark.parametrize(
    "root", ["", "pacs/dicom-web", "ftp://pacs", "http://", "http://pacs:port", "http://[::1"]
)
def test_an_address_that_is_no_url_is_a_wrong_setting(root: str) -> None:
    with pytest.raises(ConfigurationError, match="SCANSTREAM_STOW_PACS_URL"):
        DicomWeb(root, None, 1.0)
