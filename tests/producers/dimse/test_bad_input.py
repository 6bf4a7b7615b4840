"""Peers that break rules or mean harm: a status or an abort of the standard, one line each, and nothing stays."""

from __future__ import annotations

import logging
import random
import socket
import struct
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from producers.dimse.command import Command, CommandField
from producers.dimse.message import encode_command
from producers.dimse.pdu import PduType, encode
from schemas.logs import JsonFormatter
from tests.producers.dimse.peer import ECHO, MR, RELEASE_RQ, RawPeer, p_data, request, response_of, store_request
from tests.producers.listener import Listener, data_set_of
from tests.producers.listener import listener as running
from tests.producers.store.data import encoded, image
from tests.services import wait_for

HOSTILE = [
    "1.2'; DROP TABLE instances;--",
    "../../../../etc/passwd",
    "1.2/../3",
    "..",
    "1.2\0.3",
    "1." * 40,
    "%s%n",
    "",
]


def metric(listener: Listener, name: str) -> float:
    return listener.telemetry.registry.get_sample_value(name) or 0.0


def serves(listener: Listener) -> None:
    with RawPeer(listener.port) as peer:
        peer.associate()
        peer.send(encode_command(1, ECHO, 0))
        assert response_of(peer).status == 0
        peer.send(RELEASE_RQ)
        assert peer.receive() == (PduType.RELEASE_RP, bytes(4))


def lines(caplog: pytest.LogCaptureFixture) -> str:
    assert all(record.exc_info is None for record in caplog.records)
    formatter = JsonFormatter("gateway")
    return "\n".join(formatter.format(one) for one in caplog.records if one.name.startswith("producers"))


@pytest.mark.parametrize("seed", range(4))
def test_any_split_of_a_conversation_gives_the_same_answers(listener: Listener, seed: int) -> None:
    """Cut at random, between bytes of headers too, and once glued together into one segment."""
    chance = random.Random(seed)
    images = [
        encoded(image(sop=f"1.2.3.{number}", PixelData=bytes(chance.randint(1, 3000) * 2))) for number in (1, 2, 3)
    ]
    wire = encode_command(1, ECHO, 16)
    for number, data in enumerate(images, 1):
        wire += store_request(f"1.2.3.{number}", data, fragment=chance.choice((1, 7, 500, 5000)))
    wire += RELEASE_RQ
    with RawPeer(listener.port) as peer:
        peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.associate()
        largest = chance.choice((3, 60, 1000, len(wire)))
        while wire:
            size = chance.randint(1, largest)
            peer.send(wire[:size])
            wire = wire[size:]
        assert [response_of(peer).status for _ in range(4)] == [0] * 4
        assert peer.receive() == (PduType.RELEASE_RP, bytes(4))
    assert [
        data_set_of(one) for one in sorted(listener.stored("1.2.3"), key=lambda one: one.sop_instance_uid)
    ] == images


@pytest.mark.parametrize("uid", HOSTILE)
def test_uids_that_are_no_uids_are_refused_and_name_no_file(
    listener: Listener, uid: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    with RawPeer(listener.port) as peer:
        peer.associate()
        peer.send(store_request(uid, encoded(image())))
        assert response_of(peer).status in {0xA900, 0xC000}
        forged = image()
        for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
            forged.add_new(keyword, "UI", "")
            forged[keyword]._value = uid
        peer.send(store_request(uid, encoded(forged)))
        assert response_of(peer).status in {0xA900, 0xC000}
        peer.send(encode_command(1, ECHO, 0))
        assert response_of(peer).status == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert listener.stored("1.2.3") == []
    assert listener.events() == []
    text = lines(caplog)
    assert "SECRET" not in text
    if len(uid) > 4:
        assert uid not in text


def test_data_sets_that_lie_are_refused(listener: Listener) -> None:
    whole = encoded(image())
    command = struct.pack("<HH2sHH", 0, 0x0100, b"US", 2, 1)
    with RawPeer(listener.port) as peer:
        peer.associate()
        for sop, data, statuses in [
            ("9.9.9", whole, {0xA900}),
            ("1.2.3.4", encoded(image(SOPClassUID="1.2.840.10008.5.1.4.1.1.2")), {0xA900}),
            ("1.2.3.4", whole[: len(whole) // 3], {0xC000, 0xA900}),
            ("1.2.3.4", command + whole, {0xC000, 0xA900, 0}),
            ("1.2.3.4", b"\xff" * 5000, {0xC000}),
        ]:
            peer.send(store_request(sop, data))
            assert response_of(peer).status in statuses
    serves(listener)
    for stored in listener.stored("1.2.3"):
        assert data_set_of(stored) == command + whole


def test_titles_with_quotes_and_paths_are_names_like_others(
    listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "producers")
    for title in (b"' OR 1=1;--", b"../../etc/passwd", b'"}{%s%n'):
        wire = request().replace(b"PEER".ljust(16), title.ljust(16))
        with RawPeer(listener.port) as peer:
            peer.associate(wire)
            peer.send(store_request("1.2.3.4", encoded(image())))
            assert response_of(peer).status == 0
    assert len(listener.stored("1.2.3")) == 1
    assert "SECRET" not in lines(caplog)


@pytest.mark.parametrize(
    "wire",
    [
        struct.pack(">BxI", PduType.P_DATA_TF, 0xFFFFFFFF),
        struct.pack(">BxI", PduType.ASSOCIATE_RQ, 0x7FFFFFFF),
        struct.pack(">BxI", PduType.P_DATA_TF, 0),
        struct.pack(">BxI", PduType.RELEASE_RQ, 5),
        encode(PduType.P_DATA_TF, struct.pack(">IBB", 0xFFFFFFF0, 1, 3) + bytes(100)),
        encode(PduType.P_DATA_TF, struct.pack(">IBB", 0, 1, 3)),
        p_data(2, b"x", command=True, last=True),
        p_data(1, b"x" * 70_000, command=True, last=False),
        p_data(1, struct.pack("<HHI", 0, 0x0100, 0xFFFFFFFF), command=True, last=True),
        p_data(1, struct.pack("<HHI", 8, 0x0018, 2) + b"1 ", command=True, last=True),
    ],
)
@pytest.mark.parametrize("established", [True, False])
def test_wrong_lengths_end_in_one_abort_before_any_of_it_is_held(
    listener: Listener, wire: bytes, established: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with RawPeer(listener.port) as peer:
        if established:
            peer.associate()
        peer.send(wire)
        answer = peer.receive()
        assert answer is not None
        assert answer[0] == PduType.ABORT
    wait_for(lambda: not listener.server._associations, "the end of the connection")
    assert [record.getMessage() for record in caplog.records] == ["association aborted"]
    assert "Traceback" not in lines(caplog)


def test_a_command_that_nobody_serves_keeps_nothing_of_its_data_set(listener: Listener) -> None:
    with RawPeer(listener.port) as peer:
        peer.associate()
        process = psutil.Process()
        before = process.memory_info().rss
        find = Command(CommandField.C_FIND_RQ, 1, None, MR, has_data_set=True)
        part = p_data(3, bytes(100_000), command=False, last=False)
        peer.send(encode_command(3, find, 0))
        for _ in range(1500):
            peer.send(part)
        peer.send(p_data(3, b"", command=False, last=True))
        assert response_of(peer).status == 0x0211
        assert process.memory_info().rss - before < 60_000_000, "of 150 MB"


def test_bytes_that_trickle_keep_nothing_open(tmp_path: Path) -> None:
    with running(tmp_path, artim_timeout_s=1.0, idle_timeout_s=1.0) as quick, ExitStack() as stack:
        early, late = (stack.enter_context(RawPeer(quick.port)) for _ in range(2))
        late.associate()
        wire = store_request("1.2.3.4", bytes(20_000))
        ended: set[RawPeer] = set()

        def trickle() -> bool:
            for peer, source in ((early, request()), (late, wire)):
                try:
                    peer.send(source[:1] if peer is early else source[5:6])
                except OSError:
                    ended.add(peer)
            return len(ended) == 2

        wait_for(trickle, "the end of both")
        wait_for(lambda: not quick.server._associations, "their end here")
        assert list((quick.store.root / "incoming").iterdir()) == []


def test_connects_that_say_nothing_are_bounded_and_cost_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten thousand of them, in waves that a test may have open at the same time."""
    caplog.set_level(logging.INFO, "producers")
    with running(tmp_path, max_silent_connections=300, max_silent_of_one_address=200) as listener:
        serves(listener)
        process = psutil.Process()
        highest = 0.0
        with RawPeer(listener.port) as working:
            working.associate()
            before = process.memory_info().rss
            for _ in range(20):
                wave = [socket.create_connection(("127.0.0.1", listener.port), timeout=60) for _ in range(500)]
                serves(listener)
                highest = max(highest, metric(listener, "scanstream_silent_connections"))
                for one in wave:
                    one.close()
            assert highest <= 200
            working.send(encode_command(1, ECHO, 0))
            assert response_of(working).status == 0
        wait_for(lambda: not listener.server._associations, "the end of all connections")
        assert process.memory_info().rss - before < 40_000_000
        assert len(caplog.records) < 200, "not a line for each"


@pytest.mark.parametrize("seed", range(3))
def test_an_abort_or_a_broken_connection_at_any_point_leaves_nothing(listener: Listener, seed: int) -> None:
    chance = random.Random(seed)
    wire = request() + encode_command(1, ECHO, 0)
    for number in range(1, 4):
        wire += store_request(f"1.2.3.{number}", encoded(image(sop=f"1.2.3.{number}")), fragment=90)
    wire += RELEASE_RQ
    for _ in range(40):
        with RawPeer(listener.port) as peer:
            peer.send(wire[: chance.randrange(len(wire))])
            match chance.randrange(4):
                case 0:
                    peer.send(encode(PduType.ABORT, bytes(4)))
                case 1:
                    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                case 2:
                    peer.socket.shutdown(socket.SHUT_WR)
                case _:
                    pass
    wait_for(lambda: not listener.server._associations, "the end of all associations")
    # What came whole is stored all the same, a moment after its sender has gone.
    wait_for(lambda: not any((listener.store.root / "incoming").iterdir()), "an empty place for what comes in")
    assert metric(listener, "scanstream_associations") == 0
    serves(listener)


def test_a_peer_that_closes_its_side_gets_what_it_asked_for_or_nothing(listener: Listener) -> None:
    with RawPeer(listener.port) as peer:
        peer.associate()
        peer.send(store_request("1.2.3.4", encoded(image())) + RELEASE_RQ)
        peer.socket.shutdown(socket.SHUT_WR)
        while peer.receive() is not None:
            pass
    wait_for(lambda: not listener.server._associations, "the end of the association")
    assert len(listener.stored("1.2.3")) <= 1


def test_message_ids_may_be_used_again(listener: Listener) -> None:
    with RawPeer(listener.port) as peer:
        peer.associate()
        for number in range(1, 6):
            peer.send(store_request(f"1.2.3.{number}", encoded(image(sop=f"1.2.3.{number}"))))
            stored = response_of(peer)
            assert (stored.status, stored.responded_to) == (0, 1)
