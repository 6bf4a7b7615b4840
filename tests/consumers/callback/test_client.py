"""The client against real servers: HTTP, TLS, and what they do wrong."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from consumers.callback.allowed import endpoint_of
from consumers.callback.client import CallbackClient
from consumers.destination import SourceUnavailable
from schemas.errors import PermanentRejection
from tests.consumers.callback.requester import Reply, requester
from tests.producers.certificates import Certificate, authority, signed
from tests.tools import free_port

pytestmark = pytest.mark.integration

HEADERS = {"webhook-id": "1"}


def loopback(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


def client(timeout_s: float = 20.0, **changes: object) -> CallbackClient:
    options = {"allow_private": True, "resolver": loopback} | changes
    return CallbackClient("scanstream test", timeout_s, **options)  # type: ignore[arg-type] # of each option


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return authority(tmp_path_factory.mktemp("tls"))


def trusting(ca: Certificate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca.certificate))


def test_a_callback_arrives_as_it_was_signed_and_the_connection_is_closed() -> None:
    with requester(lambda _: Reply(202)) as server:
        url = f"http://ris.example:{server.port}/results?token=1#fragment"
        answer = client().post(endpoint_of(url), HEADERS, "Ґ".encode())
    assert answer.status == 202
    (came,) = server.came
    assert (came.path, came.body) == ("/results?token=1", "Ґ".encode())
    assert came.headers["Host"] == f"ris.example:{server.port}"
    assert came.headers["webhook-id"] == "1"
    assert came.headers["Content-Type"] == "application/json"


def test_tls_is_verified_against_the_name_though_the_connection_goes_to_the_address(
    ca: Certificate, tmp_path: Path
) -> None:
    shows = signed(tmp_path, "ris", ca, address="127.0.0.9,DNS:ris.example")
    with requester(shows=shows) as server:
        trusted = client(context=trusting(ca))
        assert trusted.post(endpoint_of(f"https://ris.example:{server.port}/"), HEADERS, b"{}").status == 200
        for host, context in (("other.example", trusting(ca)), ("ris.example", ssl.create_default_context())):
            with pytest.raises(SourceUnavailable, match="certificate"):
                client(context=context).post(endpoint_of(f"https://{host}:{server.port}/"), HEADERS, b"{}")
    assert len(server.came) == 1


def test_an_expired_certificate_is_said(ca: Certificate, tmp_path: Path) -> None:
    shows = signed(tmp_path, "old", ca, address="127.0.0.9,DNS:ris.example", days=-1)
    with requester(shows=shows) as server, pytest.raises(SourceUnavailable, match="has not expired"):
        client(context=trusting(ca)).post(endpoint_of(f"https://ris.example:{server.port}/"), HEADERS, b"{}")
    assert server.came == []


def test_a_redirect_to_inside_is_not_followed() -> None:
    with requester() as inside:
        away = Reply(307, {"Location": f"http://127.0.0.1:{inside.port}/admin"})
        with requester(lambda _: away) as server:
            answer = client().post(endpoint_of(f"http://ris.example:{server.port}/"), HEADERS, b"{}")
    assert answer.status == 307
    assert inside.came == []


def test_a_name_that_leads_inside_is_not_called() -> None:
    with requester() as server, pytest.raises(PermanentRejection, match="open internet"):
        client(allow_private=False).post(endpoint_of(f"http://ris.example:{server.port}/"), HEADERS, b"{}")
    assert server.came == []


def test_a_name_that_leads_elsewhere_at_the_second_question_is_asked_only_once() -> None:
    """DNS rebinding: the address that was checked is the one that is called."""
    asked: list[str] = []

    def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    with requester() as server:
        calling = client(resolver=rebinding)
        assert calling.post(endpoint_of(f"http://ris.example:{server.port}/"), HEADERS, b"{}").status == 200
        with pytest.raises(PermanentRejection):
            calling.post(endpoint_of(f"http://ris.example:{server.port}/"), HEADERS, b"{}")
    assert len(asked) == 2
    assert len(server.came) == 1


def test_a_second_address_is_tried_where_the_first_does_not_answer() -> None:
    with requester() as server:
        both = client(resolver=lambda host, port: ["127.0.0.77", "127.0.0.1"])
        assert both.post(endpoint_of(f"http://ris.example:{server.port}/"), HEADERS, b"{}").status == 200


def test_a_second_address_is_tried_where_the_first_swallows_every_packet() -> None:
    with ExitStack() as stack:
        server = stack.enter_context(requester())
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.77", server.port))
        full.listen(0)
        for _ in range(3):  # a queue that is full answers nothing more
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.77", server.port))
        both = client(timeout_s=1.0, resolver=lambda host, port: ["127.0.0.77", "127.0.0.1"])
        assert both.post(endpoint_of(f"http://ris.example:{server.port}/"), HEADERS, b"{}").status == 200


def test_nobody_listens() -> None:
    with pytest.raises(SourceUnavailable, match="does not answer"):
        client().post(endpoint_of(f"http://ris.example:{free_port()}/"), HEADERS, b"{}")


def test_an_answer_that_never_comes_ends_in_time() -> None:
    never = threading.Event()
    with requester(lambda _: Reply(wait=never)) as server:
        started = time.monotonic()
        with pytest.raises(SourceUnavailable, match="does not answer"):
            client(timeout_s=0.5).post(endpoint_of(f"http://ris.example:{server.port}/"), HEADERS, b"{}")
        never.set()
    assert time.monotonic() - started < 15


def test_an_answer_that_comes_byte_by_byte_ends_in_time() -> None:
    done = threading.Event()

    with requester(lambda _: Reply(wait=done, drip=True)) as server:
        started = time.monotonic()
        with pytest.raises(SourceUnavailable):
            client(timeout_s=0.5).post(endpoint_of(f"http://ris.example:{server.port}/"), HEADERS, b"{}")
        done.set()
    assert time.monotonic() - started < 15


@pytest.mark.parametrize(
    "raw", [b"", b"HTTP/1.1 200", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]
)
def test_what_is_no_http_is_a_requester_that_is_away(raw: bytes) -> None:
    with requester(lambda _: Reply(raw=raw)) as server, pytest.raises(SourceUnavailable):
        client().post(endpoint_of(f"http://ris.example:{server.port}/"), HEADERS, b"{}")


def test_an_endless_body_is_not_read() -> None:
    page = b"<!DOCTYPE html>" + b"x" * 5_000_000
    with requester(lambda _: Reply(200, {"Content-Type": "text/html"}, page)) as server:
        answer = client().post(endpoint_of(f"http://ris.example:{server.port}/"), HEADERS, b"{}")
    assert (answer.status, answer.content_type) == (200, "text/html")
    assert answer.beginning.startswith(b"<!DOCTYPE html>")
    assert len(answer.beginning) <= 256


def test_retry_after_is_told() -> None:
    with requester(lambda _: Reply(429, {"Retry-After": "7"})) as server:
        answer = client().post(endpoint_of(f"http://ris.example:{server.port}/"), HEADERS, b"{}")
    assert (answer.status, answer.retry_after_s) == (429, 7.0)
