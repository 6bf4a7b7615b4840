"""Ways in which devices differ from the programs that we have, played by a peer that says the very bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation, UserIdentityNegotiation

from producers.dimse.command import Command, CommandField
from producers.dimse.message import encode_command, encode_message
from producers.dimse.pdu import PduType, encode
from tests.integration.wire import stored
from tests.producers.dimse.peer import (
    ECHO,
    EXPLICIT,
    MR,
    RELEASE_RQ,
    VERIFICATION,
    RawPeer,
    p_data,
    request,
    response_of,
    store_request,
)
from tests.producers.listener import Listener
from tests.producers.listener import listener as running
from tests.producers.store.data import encoded, image

pytestmark = pytest.mark.integration

SOP = "1.2.826.0.1.3680043.8.498.1234567"
DATA = encoded(image(SOP, StudyInstanceUID="1.2.826.0.1.3680043.8.498.9", PixelData=bytes(100_000)))


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    """A gateway's listener and store."""
    with running(tmp_path) as found:
        yield found


def status_of(listener: Listener, association: bytes, message: bytes) -> int | None:
    """Status of one C-STORE on an association of its own, which is then released."""
    with RawPeer(listener.port) as peer:
        peer.associate(association)
        peer.send(message)
        status = response_of(peer).status
        peer.send(RELEASE_RQ)
        assert peer.receive() == (PduType.RELEASE_RP, bytes(4))
        return status


def test_a_proposed_window_of_operations_may_be_used_at_once(listener: Listener) -> None:
    """dcm4che proposes 0/0 (unlimited); answers may come in any order then (PS3.7 D.3.3.3)."""
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = window.maximum_number_operations_performed = 0
    count = 20
    with RawPeer(listener.port) as peer:
        peer.associate(request(user=[window]))
        sops = [f"{SOP}.{number}" for number in range(count)]
        for number, sop in enumerate(sops):
            command = Command(CommandField.C_STORE_RQ, number, None, MR, sop, 0)
            peer.send(b"".join(encode_message(3, command, (encoded(image(sop)),), 0)))
        answers = [response_of(peer) for _ in range(count)]
    assert sorted(str(answer.sop_instance_uid) for answer in answers) == sorted(sops)
    assert {answer.status for answer in answers} == {0}


def test_a_peer_that_takes_any_length_gets_its_answers(listener: Listener) -> None:
    assert status_of(listener, request(max_length=0), store_request(SOP, DATA)) == 0
    assert stored(listener) == {SOP: DATA}


def test_the_whole_data_set_in_one_largest_pdu(listener: Listener) -> None:
    message = store_request(SOP, DATA, fragment=128 * 1024 - 6)
    assert status_of(listener, request(), message) == 0
    assert stored(listener) == {SOP: DATA}


def test_fragments_without_content_are_no_mistake(listener: Listener) -> None:
    """Some send the last fragment empty, because they learn too late that there is no more."""
    command, *_ = pdus(store_request(SOP, DATA))
    empty = p_data(3, b"", command=False, last=False)
    body = p_data(3, DATA, command=False, last=False)
    message = command + empty + body + p_data(3, b"", command=False, last=True)
    assert status_of(listener, request(), message) == 0
    assert stored(listener) == {SOP: DATA}


def test_command_and_data_set_in_one_pdu(listener: Listener) -> None:
    both = b"".join(pdu[6:] for pdu in pdus(store_request(SOP, DATA, fragment=len(DATA))))
    assert status_of(listener, request(), encode(PduType.P_DATA_TF, both)) == 0
    assert stored(listener) == {SOP: DATA}


@pytest.mark.parametrize("pad", [b" ", b"\0"])
def test_uids_may_be_padded_by_a_space(listener: Listener, pad: bytes) -> None:
    """PS3.5 9.1 asks for NUL; old devices take a space, in the command and in the data set."""
    message = store_request(SOP, DATA)
    assert len(SOP) % 2
    message = message.replace(SOP.encode() + b"\0", SOP.encode() + pad)
    data_set = DATA.replace(SOP.encode() + b"\0", SOP.encode() + pad)
    assert status_of(listener, request(), message) == 0
    assert stored(listener) == {SOP: data_set}


def test_the_same_class_may_be_proposed_in_a_context_per_transfer_syntax(listener: Listener) -> None:
    contexts = [
        (VERIFICATION, (EXPLICIT,)),
        *[(MR, (f"1.2.840.10008.1.2{end}",)) for end in ("", ".1", ".2")] * 42,
    ]
    assert len(contexts) <= 128
    message = store_request(SOP, DATA, context_id=5)
    assert status_of(listener, request(contexts=contexts), message) == 0
    assert stored(listener) == {SOP: DATA}


def test_a_user_identity_without_a_wish_for_an_answer_is_passed_over(listener: Listener) -> None:
    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.primary_field = 1, b"operator"
    with RawPeer(listener.port) as peer:
        peer.associate(request(user=[identity]))
        peer.send(encode_command(1, ECHO, 0))
        assert response_of(peer).status == 0


def pdus(data: bytes) -> list[bytes]:
    """The PDUs in some bytes."""
    found = []
    while data:
        end = 6 + int.from_bytes(data[2:6], "big")
        found.append(data[:end])
        data = data[end:]
    return found
