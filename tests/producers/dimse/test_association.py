from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from producers.dimse import command as commands
from producers.dimse.acse import release
from producers.dimse.command import Command, CommandField
from producers.dimse.message import encode_command
from producers.dimse.pdu import HEADER, PduType, encode
from tests.producers.dimse.peer import (
    ECHO,
    MR,
    RELEASE_RQ,
    RawPeer,
    p_data,
    request,
    response_of,
    store_request,
)
from tests.producers.listener import Listener
from tests.producers.listener import listener as running
from tests.producers.store.data import encoded, image
from tests.services import wait_for

PROVIDER, USER = 2, 0
ABORTED = (PduType.ABORT, bytes(4))


def abort_of(peer: RawPeer) -> tuple[int, int]:
    """Source and reason of the A-ABORT that comes next."""
    answer = peer.receive()
    assert answer is not None
    assert answer[0] == PduType.ABORT
    return answer[1][2], answer[1][3]


def echo(peer: RawPeer) -> int | None:
    peer.send(encode_command(1, ECHO, 0))
    return response_of(peer).status


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (b"\x09\x00\x00\x00\x00\x04abcd", (PROVIDER, 1)),
        (b"GET / HTTP/1.1\r\n\r\n", (PROVIDER, 1)),
        (request(), (PROVIDER, 2)),
        (release(), (PROVIDER, 2)),
        (b"\x04\x00\x7f\xff\xff\xff", (PROVIDER, 6)),
        (p_data(99, b"x", command=True, last=True), (PROVIDER, 6)),
        (p_data(1, b"x", command=False, last=True), (PROVIDER, 5)),
        (encode(PduType.P_DATA_TF, b"\x00\x00\x00\x99\x01\x03"), (PROVIDER, 6)),
        (p_data(1, commands.encode(ECHO)[:-4], command=True, last=True), (PROVIDER, 6)),
        (encode_command(1, Command(CommandField.C_ECHO_RQ), 0), (PROVIDER, 6)),
        (store_request("1.2", b"x" * 10)[:-3] + RELEASE_RQ, (PROVIDER, 5)),
        (p_data(3, b"", command=True, last=False) + RELEASE_RQ, None),
    ],
)
def test_broken_rules_end_in_an_abort(
    listener: Listener, wire: bytes, expected: tuple[int, int] | None, caplog: pytest.LogCaptureFixture
) -> None:
    with RawPeer(listener.port) as peer:
        peer.associate()
        peer.send(wire)
        if expected == (PROVIDER, 5) and wire.endswith(RELEASE_RQ):
            # The bytes of the A-RELEASE-RQ are taken for the rest of the fragment, so more must come.
            peer.send(bytes(100))
            assert abort_of(peer)[0] == PROVIDER
        elif expected is None:
            assert peer.receive() == (PduType.RELEASE_RP, bytes(4))
        else:
            assert abort_of(peer) == expected
    with RawPeer(listener.port) as peer:
        peer.associate()
        assert echo(peer) == 0
    assert all(record.exc_info is None for record in caplog.records)


@pytest.mark.parametrize("wire", [RELEASE_RQ, encode_command(1, ECHO, 0), b"\x09\x00\x00\x00\x00\x04abcd"])
def test_before_the_association_it_is_the_service_user_that_aborts(listener: Listener, wire: bytes) -> None:
    with RawPeer(listener.port) as peer:
        peer.send(wire)
        assert abort_of(peer) == (USER, 0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda wire: wire.replace(b"PEER ", b"PE\xd0\x84 "), (PduType.ASSOCIATE_RJ, b"\x00\x01\x01\x03")),
        (lambda wire: wire.replace(b"SCANSTREAM", b"\xff" * 10), (PduType.ASSOCIATE_RJ, b"\x00\x01\x01\x07")),
        (lambda wire: wire.replace(b"\x03\x00\x00\x00\x30", b"\x02\x00\x00\x00\x30"), ABORTED),
        (lambda wire: wire.replace(b"\x03\x00\x00\x00\x30", b"\x01\x00\x00\x00\x30"), ABORTED),
        (lambda wire: wire.replace(b"\x30\x00\x00\x11", b"\x30\x00\x7f\x11"), ABORTED),
        (lambda wire: wire.replace(b"1.2.840.10008.1.1", b"1.2.840.10008.1.\xff"), ABORTED),
        (lambda wire: wire.replace(b"\x51\x00\x00\x04\x00", b"\x51\x00\x00\x03"), ABORTED),
    ],
    ids=["calling", "called", "even", "twice", "length", "uid", "user-information"],
)
def test_a_wrong_request_has_one_answer_and_one_line(
    listener: Listener,
    change: Callable[[bytes], bytes],
    expected: tuple[int, bytes],
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    wire = request()
    changed = change(wire)
    assert changed != wire
    length = len(changed) - HEADER.size
    with RawPeer(listener.port) as peer:
        peer.send(HEADER.pack(PduType.ASSOCIATE_RQ, length) + changed[HEADER.size :])
        assert peer.receive() == expected
    (record,) = caplog.records
    assert record.name == "producers.dimse.association"
    assert record.exc_info is None
    assert not list(recwarn)


def test_release_is_answered_and_nothing_after_it_counts(listener: Listener) -> None:
    with RawPeer(listener.port) as peer:
        peer.associate()
        peer.send(RELEASE_RQ)
        assert peer.receive() == (PduType.RELEASE_RP, bytes(4))
        peer.send(b"garbage" * 1000)


def test_pdus_in_any_split_are_understood(listener: Listener) -> None:
    chance = random.Random(1)
    data = encoded(image())
    wire = encode_command(1, ECHO, 20) + store_request("1.2.3.4", data, fragment=50) + RELEASE_RQ
    with RawPeer(listener.port) as peer:
        peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.associate()
        while wire:
            size = chance.randint(1, 40)
            peer.send(wire[:size])
            wire = wire[size:]
        assert response_of(peer).field == CommandField.C_ECHO_RSP
        stored = response_of(peer)
        assert (stored.status, stored.sop_instance_uid) == (0, "1.2.3.4")
        assert peer.receive() == (PduType.RELEASE_RP, bytes(4))
    assert len(listener.stored("1.2.3")) == 1


def test_unknown_commands_get_a_response(listener: Listener) -> None:
    with RawPeer(listener.port) as peer:
        peer.associate()
        peer.send(encode_command(1, Command(0x0020, message_id=5, sop_class_uid=MR), 0))
        response = response_of(peer)
        assert (response.field, response.responded_to, response.status) == (0x8020, 5, 0x0211)
        assert echo(peer) == 0


def test_store_without_a_data_set_or_of_another_class_is_refused(listener: Listener) -> None:
    with RawPeer(listener.port) as peer:
        peer.associate()
        peer.send(encode_command(3, Command(CommandField.C_STORE_RQ, 1, None, MR, "1.2.3.4", 0), 0))
        assert response_of(peer).status == 0xC000
        other = Command(CommandField.C_STORE_RQ, 2, None, "1.2.3", "1.2.3.4", 0, has_data_set=True)
        peer.send(encode_command(3, other, 0) + p_data(3, encoded(image()), command=False, last=True))
        assert response_of(peer).status == 0x0122
        peer.send(store_request("9.9.9", encoded(image())))
        assert response_of(peer).status == 0xA900
        peer.send(store_request("1.2.3.4", b"garbage!" * 20))
        assert response_of(peer).status == 0xC000
        assert echo(peer) == 0


def test_abort_in_the_middle_of_an_image_leaves_nothing(listener: Listener) -> None:
    with RawPeer(listener.port) as peer:
        peer.associate()
        peer.send(store_request("1.2.3.4", bytes(50_000))[:30_000])
    wait_for(lambda: associations(listener) == 0, "the end of the association")
    assert list((listener.store.root / "incoming").iterdir()) == []
    assert listener.events() == []


def test_aborted_association_gives_no_hint(listener: Listener) -> None:
    with RawPeer(listener.port) as peer:
        peer.associate()
        peer.send(store_request("1.2.3.4", encoded(image())))
        assert response_of(peer).status == 0
        peer.send(encode(PduType.ABORT, bytes(4)))
        assert peer.receive() is None
    assert [type(event).__name__ for event in listener.events()] == ["InstanceStored"]


def test_called_ae_title_is_checked_when_asked(tmp_path: Path) -> None:
    with running(tmp_path, require_called_ae_title=True) as strict:
        with RawPeer(strict.port) as peer:
            peer.send(request(called="ELSEWHERE"))
            assert peer.receive() == (PduType.ASSOCIATE_RJ, b"\x00\x01\x01\x07")
        with RawPeer(strict.port) as peer:
            peer.associate()


def test_beyond_the_limit_the_rejection_is_transient(tmp_path: Path) -> None:
    with running(tmp_path, max_associations=2) as small:
        held = [RawPeer(small.port) for _ in range(2)]
        for peer in held:
            peer.associate()
        with RawPeer(small.port) as third:
            third.send(request())
            assert third.receive() == (PduType.ASSOCIATE_RJ, b"\x00\x02\x03\x02")
        held[0].socket.close()
        wait_for(lambda: associations(small) == 1, "a free place")
        with RawPeer(small.port) as third:
            third.associate()
        held[1].socket.close()


def test_silent_peers_are_closed(tmp_path: Path) -> None:
    with running(tmp_path, artim_timeout_s=0.3, idle_timeout_s=0.3) as quick:
        with RawPeer(quick.port) as peer:
            assert peer.receive() is None, "no request within ARTIM"
        with RawPeer(quick.port) as peer:
            peer.associate()
            assert abort_of(peer) == (USER, 0)
            assert peer.receive() is None


def test_peer_that_takes_no_answers_is_held_back_and_cut_off(tmp_path: Path) -> None:
    with running(tmp_path, idle_timeout_s=2.0) as listener:
        with RawPeer(listener.port) as peer:
            # Answers of a byte per PDU, so that not many of them fill the buffers between.
            peer.associate(request(max_length=7))
            asked = encode_command(1, ECHO, 0) * 1000
            with pytest.raises(OSError, match=r"timed out|reset|Broken pipe"):
                for _ in range(16_000_000 // len(asked)):
                    peer.send(asked)
            wait_for(lambda: associations(listener) == 0, "the end of the association")
        with RawPeer(listener.port) as peer:
            peer.associate()
            assert echo(peer) == 0


def test_requests_that_wait_are_few_however_many_are_sent(listener: Listener) -> None:
    """Each is small, so one read brings hundreds; the next read waits until they are performed."""
    with RawPeer(listener.port) as peer:
        peer.associate()
        sent = store_request("1.2.3.4", encoded(image())) * 1500
        sender = threading.Thread(target=peer.send, args=(sent,))
        sender.start()
        most = 0
        for _ in range(1500):
            assert response_of(peer).status == 0
            most = max(most, *(association.waiting for association in listener.server._associations))
        sender.join(60)
    assert most < 1000


def test_a_hundred_associations_are_held_and_served(listener: Listener) -> None:
    threads = threading.active_count()
    peers = [RawPeer(listener.port) for _ in range(100)]
    for peer in peers:
        peer.associate()
    assert threading.active_count() - threads <= 12
    for number, peer in enumerate(peers):
        peer.send(store_request(f"1.2.3.{number + 1}", encoded(image(sop=f"1.2.3.{number + 1}"))))
    assert [response_of(peer).status for peer in peers] == [0] * 100
    assert [echo(peer) for peer in peers] == [0] * 100
    for peer in peers:
        peer.send(RELEASE_RQ)
        assert peer.receive() == (PduType.RELEASE_RP, bytes(4))
        peer.socket.close()
    assert len(listener.stored("1.2.3")) == 100
    wait_for(lambda: associations(listener) == 0, "the end of all associations")


def test_garbage_of_all_kinds_does_no_harm(listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(2)
    good = request() + encode_command(1, ECHO, 0) + store_request("1.2.3.4", encoded(image())) + RELEASE_RQ
    for _ in range(150):
        wire = bytearray(good)
        for _ in range(chance.randint(1, 8)):
            wire[chance.randrange(len(wire))] = chance.randrange(256)
        with RawPeer(listener.port) as peer:
            peer.send(bytes(wire[: chance.randrange(len(wire))]))
    with RawPeer(listener.port) as peer:
        peer.associate()
        assert echo(peer) == 0
    wait_for(lambda: associations(listener) == 0, "the end of all associations")
    assert all(record.exc_info is None for record in caplog.records)
    assert list((listener.store.root / "incoming").iterdir()) == []


def test_stop_lets_a_running_store_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "producers")
    with running(tmp_path) as stopping, RawPeer(stopping.port) as busy, RawPeer(stopping.port) as idle:
        busy.associate()
        idle.associate()
        wire = store_request("1.2.3.4", encoded(image()), fragment=20)
        busy.send(wire[:300])
        wait_for(lambda: associations(stopping) == 2, "both associations")
        time.sleep(0.2)
        done = threading.Thread(target=lambda: stopping.run(stopping.server.stop(20.0)))
        done.start()
        assert abort_of(idle) == (USER, 0)
        busy.send(wire[300:])
        assert response_of(busy).status == 0
        assert abort_of(busy) == (USER, 0)
        done.join()
        assert len(stopping.stored("1.2.3")) == 1
        with pytest.raises(OSError, match="refused"):
            RawPeer(stopping.port)


def associations(listener: Listener) -> float:
    value = listener.telemetry.registry.get_sample_value("scanstream_associations")
    return value or 0.0
