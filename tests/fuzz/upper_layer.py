"""Readers of the upper layer: PDUs, A-ASSOCIATE-RQ, P-DATA-TF, command sets (PS3.8 9.3, PS3.7 6.3)."""

from __future__ import annotations

from collections.abc import Iterable

from producers.dimse import command as commands
from producers.dimse.acse import decode_request, encode_accept
from producers.dimse.command import Command
from producers.dimse.message import MAX_COMMAND_BYTES, Message, MessageAssembler
from producers.dimse.negotiation import Acceptance, Policy, negotiate
from producers.dimse.pdu import BadPdu, PduStream, PduType
from producers.dimse.storage import STORAGE_CLASSES, STORAGE_TRANSFER_SYNTAXES
from producers.store.spool import Spool
from tests.fuzz.split import cut

MAX_PDU_BYTES = 16 * 1024
CONTEXTS = (1, 3)
_SENTENCE = 160
_POLICY = Policy("SCANSTREAM", False, dict.fromkeys(STORAGE_CLASSES, STORAGE_TRANSFER_SYNTAXES))


def pdus(data: bytes) -> None:
    """The same PDUs, and the same end, for every cut."""
    _, parts = cut(data)
    assert _pdus(parts) == _pdus([data[1:]])


def _pdus(parts: Iterable[bytes]) -> tuple[list[tuple[PduType, bytes]], object]:
    stream, found = PduStream(MAX_PDU_BYTES), []
    try:
        for part in parts:
            for pdu_type, body in stream.feed(part):
                found.append((pdu_type, body))
    except BadPdu as bad:
        return found, said(bad)
    return found, stream.in_the_middle


def associate_request(data: bytes) -> None:
    """A request that is accepted can be answered, and its answer is a PDU."""
    try:
        request = decode_request(data)
    except BadPdu as bad:
        said(bad)
        return
    answer = negotiate(request, _POLICY)
    if isinstance(answer, Acceptance):
        assert {item.context_id for item in answer.answers} == {item.context_id for item in request.contexts}
        accepted = encode_accept(request, answer.answers, answer.user, MAX_PDU_BYTES)
        assert int.from_bytes(accepted[2:6], "big") == len(accepted) - 6
    else:
        assert len(answer.sentence) < _SENTENCE


def messages(data: bytes) -> None:
    """The same messages for every cut of their bytes into P-DATA-TF; nothing is held after the end."""
    spools: list[Spool] = []

    def new_spool(context_id: int, command: Command) -> Spool:
        assert context_id in CONTEXTS
        assert command.has_data_set
        spools.append(Spool())
        return spools[-1]

    _, bodies = cut(data)
    assembler = MessageAssembler(CONTEXTS, new_spool)
    try:
        for body in bodies:
            for message in assembler.feed(body):
                _look_at(message)
    except BadPdu as bad:
        said(bad)
    assembler.close()
    assert not assembler.in_the_middle
    assert sum(spool.size for spool in spools) <= len(data)


def _look_at(message: Message) -> None:
    assert message.command.has_data_set == (message.data_set is not None)
    if message.data_set is not None:
        assert len(message.data_set.prefix(message.data_set.size)) == message.data_set.size
    answer = message.command.response(0)
    assert commands.decode(commands.encode(answer)).status == 0


def command_set(data: bytes) -> None:
    """What was read can be written, and reads the same again."""
    try:
        command = commands.decode(data)
    except BadPdu as bad:
        said(bad)
        return
    again = commands.decode(commands.encode(command))
    assert again.field == command.field
    assert again.message_id == command.message_id
    assert len(data) > MAX_COMMAND_BYTES or len(commands.encode(command)) <= 3 * len(data) + 512


def said(bad: BadPdu) -> tuple[object, str]:
    """Reason and sentence, which is short whatever came."""
    assert 0 < len(bad.sentence) < _SENTENCE
    return bad.reason, bad.sentence
