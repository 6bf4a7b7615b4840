"""A-ASSOCIATE-RQ bytes → request; answer → A-ASSOCIATE-AC bytes (PS3.8 9.3.2, 9.3.3, annex D; PS3.7 D.3.3).

Pure. Items that we do not know are skipped, as the standard asks (PS3.8 9.3.1); lengths that do not fit raise
:class:`BadPdu`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from producers.dimse.pdu import AbortReason, BadPdu, PduType, encode
from producers.store.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"

_FIXED: Final = struct.Struct(">HH16s16s32s")
_ITEM: Final = struct.Struct(">BxH")


class Item(IntEnum):
    """Item types (PS3.8 9.3.2, PS3.7 D.3.3)."""

    APPLICATION_CONTEXT = 0x10
    PRESENTATION_CONTEXT_RQ = 0x20
    PRESENTATION_CONTEXT_AC = 0x21
    ABSTRACT_SYNTAX = 0x30
    TRANSFER_SYNTAX = 0x40
    USER_INFORMATION = 0x50
    MAXIMUM_LENGTH = 0x51
    IMPLEMENTATION_CLASS_UID = 0x52
    ROLE_SELECTION = 0x54
    IMPLEMENTATION_VERSION_NAME = 0x55


@dataclass(frozen=True)
class ProposedContext:
    """One presentation context as it was proposed."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True)
class Role:
    """SCP/SCU role selection of one SOP class (PS3.7 D.3.3.4)."""

    sop_class_uid: str
    scu: bool
    scp: bool


@dataclass(frozen=True)
class AssociationRequest:
    """What a peer proposes; ``max_length`` 0 means that it takes P-DATA of any length."""

    protocol_version: int
    application_context: str
    called_ae_title: str
    calling_ae_title: str
    contexts: tuple[ProposedContext, ...]
    max_length: int
    implementation_version: str | None
    roles: tuple[Role, ...]
    title_bytes: bytes


@dataclass(frozen=True)
class ContextAnswer:
    """Result of one presentation context: 0 accepted, 3 abstract, 4 transfer syntaxes not supported."""

    context_id: int
    result: int
    transfer_syntax: str


def decode_request(body: bytes) -> AssociationRequest:
    """Request of an A-ASSOCIATE-RQ, given without its PDU header.

    Raises
    ------
    BadPdu
        Lengths do not fit, or a presentation context id is even or appears twice.
    """
    if len(body) < _FIXED.size:
        raise BadPdu(AbortReason.INVALID_PARAMETER, "A-ASSOCIATE-RQ is too short")
    version, _, called, calling, _ = _FIXED.unpack_from(body)
    application_context = ""
    contexts: dict[int, ProposedContext] = {}
    user: dict[int, list[bytes]] = {}
    for kind, value in _items(body, _FIXED.size):
        if kind == Item.APPLICATION_CONTEXT:
            application_context = _text(value)
        elif kind == Item.PRESENTATION_CONTEXT_RQ:
            context = _context(value)
            if context.context_id % 2 == 0 or context.context_id in contexts:
                raise BadPdu(AbortReason.INVALID_PARAMETER, f"presentation context id {context.context_id}")
            contexts[context.context_id] = context
        elif kind == Item.USER_INFORMATION:
            for sub_kind, sub_value in _items(value, 0):
                user.setdefault(sub_kind, []).append(sub_value)
    lengths = user.get(Item.MAXIMUM_LENGTH, [])
    names = user.get(Item.IMPLEMENTATION_VERSION_NAME, [])
    return AssociationRequest(
        protocol_version=version,
        application_context=application_context,
        called_ae_title=_text(called),
        calling_ae_title=_text(calling),
        contexts=tuple(contexts.values()),
        max_length=int.from_bytes(lengths[0], "big") if lengths else 0,
        implementation_version=_text(names[0]) if names else None,
        roles=tuple(_role(value) for value in user.get(Item.ROLE_SELECTION, [])),
        title_bytes=called + calling,
    )


def encode_accept(
    request: AssociationRequest, answers: Sequence[ContextAnswer], roles: Sequence[Role], max_length: int
) -> bytes:
    """A-ASSOCIATE-AC PDU.

    Parameters
    ----------
    request
        What is answered; its AE titles are sent back as they came.
    answers
        One per proposed context.
    roles
        Role selections that are answered.
    max_length
        Longest P-DATA-TF that we take, in bytes.
    """
    user = _item(Item.MAXIMUM_LENGTH, max_length.to_bytes(4, "big"))
    user += _item(Item.IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_CLASS_UID.encode())
    for role in roles:
        uid = role.sop_class_uid.encode()
        user += _item(Item.ROLE_SELECTION, struct.pack(">H", len(uid)) + uid + bytes((role.scu, role.scp)))
    user += _item(Item.IMPLEMENTATION_VERSION_NAME, IMPLEMENTATION_VERSION_NAME.encode())
    contexts = b"".join(
        _item(
            Item.PRESENTATION_CONTEXT_AC,
            bytes((answer.context_id, 0, answer.result, 0))
            + _item(Item.TRANSFER_SYNTAX, answer.transfer_syntax.encode()),
        )
        for answer in answers
    )
    fixed = _FIXED.pack(1, 0, request.title_bytes[:16], request.title_bytes[16:], bytes(32))
    body = fixed + _item(Item.APPLICATION_CONTEXT, APPLICATION_CONTEXT.encode()) + contexts
    return encode(PduType.ASSOCIATE_AC, body + _item(Item.USER_INFORMATION, user))


def _items(data: bytes, position: int) -> Iterator[tuple[int, bytes]]:
    while position < len(data):
        if position + _ITEM.size > len(data):
            raise BadPdu(AbortReason.INVALID_PARAMETER, "an item of the A-ASSOCIATE-RQ is cut off")
        kind, length = _ITEM.unpack_from(data, position)
        start = position + _ITEM.size
        position = start + length
        if position > len(data):
            raise BadPdu(AbortReason.INVALID_PARAMETER, f"item {kind:02X}H reaches beyond the A-ASSOCIATE-RQ")
        yield kind, data[start:position]


def _context(value: bytes) -> ProposedContext:
    if len(value) < 4:
        raise BadPdu(AbortReason.INVALID_PARAMETER, "a presentation context is too short")
    abstract = ""
    transfers: list[str] = []
    for kind, sub_value in _items(value, 4):
        if kind == Item.ABSTRACT_SYNTAX:
            abstract = _text(sub_value)
        elif kind == Item.TRANSFER_SYNTAX:
            transfers.append(_text(sub_value))
    return ProposedContext(value[0], abstract, tuple(transfers))


def _role(value: bytes) -> Role:
    length = int.from_bytes(value[:2], "big")
    if len(value) < 2 + length + 2:
        raise BadPdu(AbortReason.INVALID_PARAMETER, "a role selection is too short")
    return Role(_text(value[2 : 2 + length]), value[2 + length] == 1, value[3 + length] == 1)


def _item(kind: Item, value: bytes) -> bytes:
    return _ITEM.pack(kind, len(value)) + value


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace").strip(" \0")
