"""Variable items of an A-ASSOCIATE-RQ → the same, in the form that pynetdicom reads (PS3.8 9.3.1, 9.3.2). Pure.

pynetdicom refuses item types that it does not know, takes every type in every place, nested without end, and
checks lengths by ``assert``. Items of other types are skipped here, as the standard asks (PS3.8 9.3.1). Guarantee:
what comes out has lengths that fit, two levels at most, and at most ``MAX_ITEMS`` items; or it is a
:class:`BadPdu`.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator
from enum import IntEnum
from itertools import count
from typing import Final

from producers.dimse.pdu import AbortReason, BadPdu

#: 128 presentation contexts with all transfer syntaxes are about 6000 items, which pynetdicom reads in 40 ms.
MAX_ITEMS: Final = 8192

_HEAD: Final = struct.Struct(">BxH")
_CONTEXT_HEAD_BYTES: Final = 4
_MAX_NAME_BYTES: Final = 16


class Item(IntEnum):
    """Item types that have a place of their own here (PS3.8 9.3.2, annex D; PS3.7 D.3.3)."""

    APPLICATION_CONTEXT = 0x10
    PRESENTATION_CONTEXT = 0x20
    ABSTRACT_SYNTAX = 0x30
    TRANSFER_SYNTAX = 0x40
    USER_INFORMATION = 0x50
    MAXIMUM_LENGTH = 0x51
    IMPLEMENTATION_VERSION_NAME = 0x55
    USER_IDENTITY = 0x58


_OF_REQUEST: Final = frozenset({Item.APPLICATION_CONTEXT, Item.PRESENTATION_CONTEXT, Item.USER_INFORMATION})
_OF_CONTEXT: Final = frozenset({Item.ABSTRACT_SYNTAX, Item.TRANSFER_SYNTAX})
_OF_USER: Final = range(Item.MAXIMUM_LENGTH, Item.USER_IDENTITY + 1)


def recognized(data: bytes) -> bytes:
    """Items that a request may have, where it may have them; all others are left out.

    Raises
    ------
    BadPdu
        Lengths do not fit, or there are more than ``MAX_ITEMS`` items.
    """
    counter = count(1)
    return b"".join(
        _encoded(kind, _inner(kind, value, counter)) for kind, value in _items(data, _OF_REQUEST, counter)
    )


def _inner(kind: int, value: bytes, counter: Iterator[int]) -> bytes:
    if kind == Item.PRESENTATION_CONTEXT:
        if len(value) < _CONTEXT_HEAD_BYTES:
            raise BadPdu(AbortReason.INVALID_PARAMETER, "a presentation context is too short")
        inner = _items(value[_CONTEXT_HEAD_BYTES:], _OF_CONTEXT, counter)
        return value[:_CONTEXT_HEAD_BYTES] + b"".join(_encoded(*item) for item in inner)
    if kind == Item.USER_INFORMATION:
        return b"".join(
            _encoded(sub_kind, _name(sub_value) if sub_kind == Item.IMPLEMENTATION_VERSION_NAME else sub_value)
            for sub_kind, sub_value in _items(value, _OF_USER, counter)
        )
    return value


def _items(data: bytes, known: Container[int], counter: Iterator[int]) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        if position + _HEAD.size > len(data):
            raise BadPdu(AbortReason.INVALID_PARAMETER, "an item of the A-ASSOCIATE-RQ is cut off")
        if next(counter) > MAX_ITEMS:
            raise BadPdu(AbortReason.INVALID_PARAMETER, f"an A-ASSOCIATE-RQ of more than {MAX_ITEMS} items")
        kind, length = _HEAD.unpack_from(data, position)
        start = position + _HEAD.size
        position = start + length
        if position > len(data):
            raise BadPdu(AbortReason.INVALID_PARAMETER, f"item {kind:02X}H reaches beyond the A-ASSOCIATE-RQ")
        if kind in known:
            yield kind, data[start:position]


def _name(value: bytes) -> bytes:
    """Implementation Version Name as it must be (PS3.7 D.3.3.2); it only informs, so none is a reason to abort."""
    printable = bytes(byte for byte in value if 0x20 <= byte < 0x7F and byte != ord("\\"))
    return printable.strip()[:_MAX_NAME_BYTES]


def _encoded(kind: int, value: bytes) -> bytes:
    return _HEAD.pack(kind, len(value)) + value
