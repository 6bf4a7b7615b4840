"""Part 10 file ↔ transfer syntax and data set bytes (PS3.10 7). The data set is never decoded.

The header that we write carries where an instance came from (source, sending and receiving AE titles), so an index
can be rebuilt from the files alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from producers.store.elements import ElementReader, Encoding, Unreadable
from producers.store.outcome import Refused, Status

PREAMBLE: Final = bytes(128) + b"DICM"
#: UUID-derived UID (PS3.5 B.2) of this implementation.
IMPLEMENTATION_CLASS_UID: Final = "2.25.69635293451418672786990285078969475236"
IMPLEMENTATION_VERSION_NAME: Final = "SCANSTREAM"

_EXPLICIT: Final = Encoding(explicit=True, little_endian=True)
_GROUP_END: Final = 0x0002FFFF
_GROUP_LENGTH: Final = 0x00020000
_SOP_CLASS: Final = 0x00020002
_SOP_INSTANCE: Final = 0x00020003
_TRANSFER_SYNTAX: Final = 0x00020010
_SENDING_AE: Final = 0x00020017
_RECEIVING_AE: Final = 0x00020018


@dataclass(frozen=True)
class FileMeta:
    """File Meta Information that we care about; AE titles are ``None`` when absent."""

    transfer_syntax_uid: str
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None
    sending_ae_title: str | None = None
    receiving_ae_title: str | None = None


def encode_header(meta: FileMeta) -> bytes:
    """Preamble, prefix and File Meta Information of a file; the data set follows directly."""
    elements = [
        _element(0x0001, b"OB", b"\x00\x01"),
        _element(0x0002, b"UI", _uid(meta.sop_class_uid or "")),
        _element(0x0003, b"UI", _uid(meta.sop_instance_uid or "")),
        _element(0x0010, b"UI", _uid(meta.transfer_syntax_uid)),
        _element(0x0012, b"UI", _uid(IMPLEMENTATION_CLASS_UID)),
        _element(0x0013, b"SH", _text(IMPLEMENTATION_VERSION_NAME)),
    ]
    for number, title in ((0x0017, meta.sending_ae_title), (0x0018, meta.receiving_ae_title)):
        if title:
            elements.append(_element(number, b"AE", _text(title)))
    group = b"".join(elements)
    return PREAMBLE + _element(0x0000, b"UL", len(group).to_bytes(4, "little")) + group


def split(data: bytes) -> tuple[FileMeta, int]:
    """File Meta Information of a Part 10 file, and the offset at which its data set starts.

    Parameters
    ----------
    data
        The file, or at least its first bytes up to the data set.

    Raises
    ------
    Refused
        It is not a Part 10 file, or does not say its transfer syntax (status C000).
    """
    if data[128:132] != b"DICM":
        raise Refused(Status.CANNOT_UNDERSTAND, "not a DICOM file: no DICM prefix after the preamble (PS3.10 7.1)")
    end = _end_of_group_2(data)
    reader = ElementReader(data[132:end], _EXPLICIT, complete=True)
    try:
        found, _ = reader.read(
            (_SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX, _SENDING_AE, _RECEIVING_AE), _GROUP_END
        )
    except Unreadable as error:
        raise Refused(Status.CANNOT_UNDERSTAND, f"the File Meta Information cannot be read: {error}") from error

    def text(tag: int) -> str | None:
        return found.get(tag, b"").decode("ascii", "replace").strip(" \0") or None

    transfer_syntax = text(_TRANSFER_SYNTAX)
    if transfer_syntax is None:
        raise Refused(Status.CANNOT_UNDERSTAND, "the file does not say its transfer syntax (0002,0010)")
    meta = FileMeta(transfer_syntax, text(_SOP_CLASS), text(_SOP_INSTANCE), text(_SENDING_AE), text(_RECEIVING_AE))
    return meta, end


def _end_of_group_2(data: bytes) -> int:
    """Walked rather than taken from the group length, which some writers get wrong."""
    position = 132
    while data[position : position + 2] == b"\x02\x00" and position + 8 <= len(data):
        if data[position + 4 : position + 6] in (b"OB", b"UN", b"OW", b"UT"):
            length = int.from_bytes(data[position + 8 : position + 12], "little") + 12
        else:
            length = int.from_bytes(data[position + 6 : position + 8], "little") + 8
        position += length
    if position > len(data):
        raise Refused(Status.CANNOT_UNDERSTAND, "the File Meta Information is truncated")
    return position


def _element(number: int, vr: bytes, value: bytes) -> bytes:
    head = b"\x02\x00" + number.to_bytes(2, "little") + vr
    if vr == b"OB":
        return head + b"\x00\x00" + len(value).to_bytes(4, "little") + value
    return head + len(value).to_bytes(2, "little") + value


def _uid(uid: str) -> bytes:
    raw = uid.encode("ascii")
    return raw + b"\0" * (len(raw) % 2)


def _text(text: str) -> bytes:
    raw = text.encode("ascii", "replace")
    return raw + b" " * (len(raw) % 2)
