"""Listeners that do not behave: what the writer makes of each, over real connections."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from consumers.oru.link import Link
from producers.hl7.build import message, segment
from producers.hl7.client import Listener
from producers.hl7.mllp import frame
from schemas.errors import DestinationUnavailable, ScanstreamError, TransientFailure
from tests.consumers.oru.listener import Answers, Scripted, accept, ack, scripted
from tests.tools import free_port

#: Far longer than any answer takes.
LONG_S = 60.0


class Clock:
    """Time that passes as always, and at once where a test says so."""

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead_s

    def pass_by(self) -> bytes:
        """Let the wait end; the byte, which stands for nothing, wakes who waits."""
        self._ahead_s += 2 * LONG_S
        return b"\r"


@pytest.fixture
def listener() -> Iterator[Scripted]:
    with scripted() as made:
        yield made


def link_to(listener: Scripted, clock: Callable[[], float] = time.monotonic) -> Link:
    return Link(Listener("127.0.0.1", listener.port, "SCANSTREAM_ORU"), LONG_S, clock)


def payload(control_id: str) -> bytes:
    return message([segment("MSH", {9: ("ORU", "R01", "ORU_R01"), 10: control_id, 18: "UNICODE UTF-8"})])


def send(link: Link, control_id: str = "1") -> str:
    return link.exchange(control_id, payload(control_id)).code


def test_messages_go_one_after_another_over_one_connection(listener: Scripted) -> None:
    link = link_to(listener)
    assert [send(link, str(number)) for number in range(5)] == ["AA"] * 5
    assert listener.connections == 1
    assert listener.received == [payload(str(number)) for number in range(5)]
    link.close()


def test_threads_that_send_at_once_have_a_connection_each(listener: Scripted) -> None:
    meeting = threading.Barrier(3)

    def together(control_id: str) -> Answers:
        meeting.wait(30)
        yield frame(ack("AA", control_id))

    listener.answers = together
    link = link_to(listener)
    codes: list[str] = []
    threads = [threading.Thread(target=lambda name=str(n): codes.append(send(link, name))) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert codes == ["AA"] * 3
    assert listener.connections == 3
    link.close()


def test_a_connection_that_was_closed_meanwhile_is_opened_again(listener: Scripted) -> None:
    link = link_to(listener)
    send(link)
    listener.drop()
    assert send(link, "2") == "AA"
    assert listener.connections == 2
    link.close()


def noise_before(control_id: str) -> Answers:
    yield b"\r\nWelcome to RIS\r\n" + frame(ack("AA", control_id))


def byte_by_byte(control_id: str) -> Answers:
    for byte in frame(ack("AA", control_id)):
        yield bytes([byte])


def another_first(control_id: str) -> Answers:
    yield frame(ack("AE", "another"))
    yield frame(ack("AA", control_id))


def transport_first(control_id: str) -> Answers:
    yield frame(b"\x06")
    yield frame(ack("AA", control_id))


def committed(control_id: str) -> Answers:
    yield frame(ack("CA", control_id))


@pytest.mark.parametrize("answers", [noise_before, byte_by_byte, another_first, transport_first, committed])
def test_a_good_answer_is_found(listener: Scripted, answers: Callable[[str], Answers]) -> None:
    listener.answers = answers
    link = link_to(listener)
    assert send(link) in ("AA", "CA")
    assert send(link, "2") in ("AA", "CA")
    link.close()


def test_an_application_answer_after_a_commit_is_not_that_to_the_next_message(
    listener: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    def enhanced(control_id: str) -> Answers:
        yield frame(ack("CA", control_id)) + frame(ack("AE", control_id, "101"))

    listener.answers = enhanced
    link = link_to(listener)
    with caplog.at_level(logging.WARNING):
        assert [send(link, "1"), send(link, "2")] == ["CA", "CA"]
    assert "answer to another message passed over" in caplog.text
    link.close()


def web_page(control_id: str) -> Answers:
    yield b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html>no</html>"
    yield None


def framed_nonsense(control_id: str) -> Answers:
    yield frame(b"OK")


def closes(control_id: str) -> Answers:
    yield None


def closes_half_way(control_id: str) -> Answers:
    yield frame(ack("AA", control_id))[:-7]
    yield None


def no_end(control_id: str) -> Answers:
    yield b"\x0b" + b"MSH" * 1_000_000


def noise_without_end(control_id: str) -> Answers:
    for _ in range(100):
        yield b"x" * 65536


def refuses_bytes(control_id: str) -> Answers:
    yield frame(b"\x15")


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (web_page, "closed the connection without an answer"),
        (framed_nonsense, "no HL7 acknowledgement"),
        (closes, "closed the connection without an answer"),
        (closes_half_way, "in the middle of an answer"),
        (no_end, "longer than 1048576 bytes"),
        (noise_without_end, "outside MLLP blocks"),
        (refuses_bytes, "could not take the bytes"),
    ],
)
def test_a_bad_answer_is_a_failure_of_this_message_and_ends_the_connection(
    listener: Scripted, answers: Callable[[str], Answers], said: str
) -> None:
    listener.answers = answers
    link = link_to(listener)
    with pytest.raises(TransientFailure, match=said):
        send(link)
    listener.answers = accept
    assert send(link) == "AA"
    assert listener.connections == 2
    link.close()


@pytest.mark.parametrize("about", [None, "another", ""])
def test_one_message_without_an_answer_may_be_to_blame_itself_two_are_not(
    listener: Scripted, about: str | None
) -> None:
    clock = Clock()

    def silent(control_id: str) -> Answers:
        if about is not None:
            yield frame(ack("AA", about))
        yield clock.pass_by()

    listener.answers = silent
    link = link_to(listener, clock)
    for _ in range(2):
        with pytest.raises(TransientFailure, match="did not acknowledge in time"):
            send(link, "1")
    with pytest.raises(DestinationUnavailable, match="did not acknowledge in time"):
        send(link, "2")
    listener.answers = accept
    assert send(link, "2") == "AA"
    link.close()


def test_an_answer_clears_the_doubt(listener: Scripted) -> None:
    clock = Clock()

    def silent_about_one(control_id: str) -> Answers:
        yield clock.pass_by() if control_id == "bad" else frame(ack("AA", control_id))

    listener.answers = silent_about_one
    link = link_to(listener, clock)
    for number in range(2):
        with pytest.raises(TransientFailure):
            send(link, "bad")
        assert send(link, str(number)) == "AA"
    link.close()


def test_a_late_answer_is_not_that_to_the_next_message(listener: Scripted) -> None:
    clock, late = Clock(), threading.Event()

    def answers_late(control_id: str) -> Answers:
        if control_id == "1":
            yield clock.pass_by()
            late.wait(30)
            yield frame(ack("AE", ""))
        else:
            yield frame(ack("AA", control_id))

    listener.answers = answers_late
    link = link_to(listener, clock)
    with pytest.raises(TransientFailure):
        send(link, "1")
    late.set()
    assert send(link, "2") == "AA"
    link.close()


def error_of_probe(link: Link) -> ScanstreamError | None:
    try:
        link.probe()
    except ScanstreamError as error:
        return error
    return None


def test_nobody_there_is_a_destination_that_is_away_until_a_probe_connects(listener: Scripted) -> None:
    port = free_port()
    link = Link(Listener("127.0.0.1", port, "SCANSTREAM_ORU"), LONG_S)
    with pytest.raises(DestinationUnavailable, match="SCANSTREAM_ORU_PORT"):
        send(link)
    assert isinstance(error_of_probe(link), DestinationUnavailable)
    here = link_to(listener)
    here.probe()
    assert send(here) == "AA"
    assert listener.connections == 1
    here.close()


def test_a_proxy_without_a_listener_behind_it_is_a_destination_that_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def closes_at_once() -> None:
            with suppress(OSError):
                while True:
                    proxy.accept()[0].close()

        threading.Thread(target=closes_at_once, daemon=True).start()
        link = Link(Listener("127.0.0.1", proxy.getsockname()[1], "SCANSTREAM_ORU"), LONG_S)
        with pytest.raises(DestinationUnavailable, match="closes connections at once"):
            send(link)
        assert isinstance(error_of_probe(link), DestinationUnavailable)
        proxy.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 300, "..", "host name"])
def test_a_host_that_cannot_be_found_is_a_destination_that_is_away(host: str) -> None:
    with pytest.raises(DestinationUnavailable, match="SCANSTREAM_ORU_HOST"):
        send(Link(Listener(host, 2575, "SCANSTREAM_ORU"), LONG_S))
