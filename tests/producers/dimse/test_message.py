from __future__ import annotations

import contextlib
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.dimse_messages import C_STORE_RQ, C_STORE_RSP
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import decode as decode_data_set

from producers.dimse.command import Command, CommandField, decode, encode
from producers.dimse.message import MAX_COMMAND_BYTES, Message, MessageAssembler, encode_command
from producers.dimse.pdu import HEADER, BadPdu, PduStream
from producers.store import Spool
from tests.producers.dimse.peer import ECHO, MR, p_data, store_request


def assembler() -> MessageAssembler:
    return MessageAssembler({1, 3}, lambda *_: Spool())


def fed(wire: bytes) -> list[Message]:
    taken = assembler()
    return [message for _, body in PduStream(1 << 20).feed(wire) for message in taken.feed(body)]


def test_reads_the_command_of_pynetdicom() -> None:
    primitive = C_STORE()
    primitive.MessageID, primitive.Priority = 7, 2
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = MR, "1.2.3"
    primitive.DataSet = BytesIO(b"data")
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    pdv = next(iter(message.encode_msg(1, 16382))).presentation_data_value_list[0][1]
    assert decode(pdv[1:]) == Command(CommandField.C_STORE_RQ, 7, None, MR, "1.2.3", 2, has_data_set=True)


def test_pynetdicom_reads_our_response() -> None:
    asked = Command(CommandField.C_STORE_RQ, 7, None, MR, "1.2.3", 2, has_data_set=True)
    raw = encode(asked.response(0xA700, "no space " * 20))
    response = C_STORE_RSP()
    response.command_set = decode_data_set(BytesIO(raw), True, True)
    assert response.command_set.Status == 0xA700
    assert response.command_set.MessageIDBeingRespondedTo == 7
    assert response.command_set.AffectedSOPInstanceUID == "1.2.3"
    assert response.command_set.CommandDataSetType == 0x0101
    assert len(response.command_set.ErrorComment) <= 64
    assert response.command_set.CommandGroupLength == len(raw) - 12


@given(st.integers(0, 65535), st.text("0123456789.", max_size=64).filter(bool), st.booleans())
def test_round_trip(number: int, uid: str, has_data_set: bool) -> None:
    command = Command(1, number, None, uid, uid, number, has_data_set=has_data_set)
    assert decode(encode(command)) == command


@given(st.binary(max_size=200))
def test_any_bytes_are_a_command_or_bad(data: bytes) -> None:
    with contextlib.suppress(BadPdu):
        decode(data)


@given(st.binary(min_size=1, max_size=3000), st.integers(1, 700))
def test_fragments_come_together_unchanged(data: bytes, size: int) -> None:
    (message,) = fed(store_request("1.2.3", data, fragment=size))
    assert message.data_set is not None
    assert b"".join(message.data_set.chunks()) == data
    assert message.command.sop_instance_uid == "1.2.3"


@pytest.mark.parametrize("max_length", [0, 7, 20, 64, 16382])
def test_commands_respect_the_peers_maximum(max_length: int) -> None:
    wire = encode_command(1, ECHO, max_length)
    bodies = [body for _, body in PduStream(1 << 20).feed(wire)]
    assert max_length == 0 or all(len(body) <= max_length for body in bodies)
    (message,) = fed(wire)
    assert message.command == ECHO


@pytest.mark.parametrize(
    "wire",
    [
        p_data(5, encode(ECHO), command=True, last=True),
        p_data(1, b"", command=True, last=True),
        p_data(1, b"data", command=False, last=True),
        p_data(1, encode(ECHO)[:-3], command=True, last=True),
        p_data(1, encode(ECHO), command=True, last=False) + p_data(3, b"", command=True, last=True),
        store_request("1.2.3", b"data", fragment=2)[:-9] + encode_command(3, ECHO, 0),
        b"".join(p_data(1, bytes(30_000), command=True, last=False) for _ in range(3)),
    ],
    ids=["context", "empty", "no-command", "cut", "mixed", "command-in-data", "endless"],
)
def test_impossible_orders_are_bad(wire: bytes) -> None:
    assert MAX_COMMAND_BYTES < 90_000
    with pytest.raises(BadPdu):
        fed(wire)


@given(st.data())
def test_damaged_p_data_is_messages_or_bad(data: st.DataObject) -> None:
    wire = bytearray(store_request("1.2.3", bytes(100), fragment=30)[HEADER.size :])
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadPdu):
        list(assembler().feed(bytes(wire)))
