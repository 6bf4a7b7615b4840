"""The peers file on a running listener: who gets in, what they may do, and changes while it runs."""

from __future__ import annotations

from pathlib import Path

from producers.dimse.message import encode_command
from producers.dimse.pdu import PduType
from producers.store.outbox import Lane
from schemas.codec import Codec
from schemas.events import InstanceStored
from tests.producers.dimse.peer import ECHO, RELEASE_RQ, RawPeer, request, response_of, store_request
from tests.producers.listener import Listener
from tests.producers.listener import listener as running
from tests.producers.store.data import encoded, image
from tests.services import wait_for

UNKNOWN = (PduType.ASSOCIATE_RJ, b"\x00\x01\x01\x03")
TOO_MANY = (PduType.ASSOCIATE_RJ, b"\x00\x02\x03\x02")


def replaced(path: Path, text: str) -> Path:
    aside = path.with_suffix(".new")
    aside.write_text(text)
    return aside.replace(path)


def answer(listener: Listener) -> tuple[int, bytes] | None:
    with RawPeer(listener.port) as peer:
        peer.send(request())
        found = peer.receive()
        if found is not None and found[0] == PduType.ASSOCIATE_AC:
            peer.send(RELEASE_RQ)
            peer.receive()
        return found


def metric(listener: Listener, name: str, **labels: str) -> float:
    return listener.telemetry.registry.get_sample_value(name, labels) or 0.0


def test_a_changed_file_counts_for_new_associations_and_ends_none(tmp_path: Path) -> None:
    path = replaced(tmp_path / "peers.yaml", "peers: [{ae_title: PEER}]\nothers: []")
    with running(tmp_path, peers_file=path) as listener, RawPeer(listener.port) as held:
        held.associate()
        replaced(path, "others: []")
        wait_for(lambda: answer(listener) == UNKNOWN, "the new file")
        held.send(encode_command(1, ECHO, 0))
        assert response_of(held).status == 0
        replaced(path, "peers: [{ae_title: PEER}, {ae_title: PEER}]")
        assert answer(listener) == UNKNOWN
        replaced(path, "peers: [{ae_title: PEER}]")
        wait_for(lambda: answer(listener) != UNKNOWN, "the newest file")
    assert metric(listener, "scanstream_associations_rejected_total", reason="1/1/3") >= 2


def test_a_peer_has_its_own_number_of_associations(tmp_path: Path) -> None:
    path = replaced(tmp_path / "peers.yaml", "others: [store]\npeers: [{ae_title: PEER, max_associations: 2}]")
    with running(tmp_path, peers_file=path) as listener:
        held = [RawPeer(listener.port) for _ in range(2)]
        for peer in held:
            peer.associate()
        assert answer(listener) == TOO_MANY
        with RawPeer(listener.port) as other:
            other.associate(request().replace(b"PEER ", b"OTHER"))
        held[0].send(RELEASE_RQ)
        assert held[0].receive() == (PduType.RELEASE_RP, bytes(4))
        with RawPeer(listener.port) as peer:
            # The place is free before the first connection is closed.
            peer.associate()
        for peer in held:
            peer.socket.close()


def test_a_peer_that_may_only_find_stores_nothing(tmp_path: Path) -> None:
    path = replaced(tmp_path / "peers.yaml", "peers: [{ae_title: PEER, may: [find]}]")
    with running(tmp_path, peers_file=path) as listener, RawPeer(listener.port) as peer:
        peer.associate()
        peer.send(encode_command(1, ECHO, 0))
        assert response_of(peer).status == 0
        peer.send(store_request("1.2.3.4", encoded(image())))
        found = peer.receive()
        assert found is not None
        assert found[0] == PduType.ABORT, "the presentation context was refused"
        assert listener.stored("1.2.3") == []


def test_an_urgent_peer_overtakes_in_the_outbox(tmp_path: Path) -> None:
    path = replaced(tmp_path / "peers.yaml", "others: [store]\npeers: [{ae_title: PEER, urgent: true}]")
    with running(tmp_path, peers_file=path) as listener:
        for title, sop in ((b"OTHER", "1.2.3.4"), (b"PEER ", "1.2.3.5")):
            with RawPeer(listener.port) as peer:
                peer.associate(request().replace(b"PEER ", title))
                peer.send(store_request(sop, encoded(image(sop=sop))))
                assert response_of(peer).status == 0
        lanes = [
            [Codec().decode(row.message.value) for row in listener.store.outbox.read(0, 10, 1 << 20, lane)]
            for lane in (Lane.URGENT, Lane.NORMAL)
        ]
        assert [
            {event.sop_instance_uid for event in events if isinstance(event, InstanceStored)} for events in lanes
        ] == [{"1.2.3.5"}, {"1.2.3.4"}]
