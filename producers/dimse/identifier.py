"""Identifier of a C-FIND, C-MOVE or C-GET ↔ bytes (PS3.7 9.1, PS3.4 C.4.1.1.3). Pure.

Requests are read in any uncompressed transfer syntax and character set, also those that say nothing or something
wrong about it; responses are written in Unicode (ISO_IR 192). Not over pydicom's writer, because a search may have
100,000 responses: one takes 20 µs here, 190 µs there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Final

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from producers.store.charset import encodings_of, text_of
from producers.store.headers import encoding_of
from schemas.errors import InvalidMessage

#: Transfer syntaxes that identifiers may be in.
TRANSFER_SYNTAXES: Final = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2")

SPECIFIC_CHARACTER_SET: Final = 0x00080005
UNICODE: Final = "ISO_IR 192"

_LONG_FORM: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
_NUMBERS: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_MAX_SHORT_BYTES: Final = 0xFFFE
_MAX_DEPTH: Final = 2


@dataclass(frozen=True)
class Keys:
    """Key attributes of one identifier or of an item in it: values by tag, and items of sequences by tag."""

    values: Mapping[int, str] = field(default_factory=dict)
    items: Mapping[int, Keys] = field(default_factory=dict)

    def text(self, tag: int) -> str:
        """A value, empty when the key is absent or universal."""
        return self.values.get(tag, "")

    def uids(self, tag: int) -> list[str]:
        """UIDs of a list."""
        return [uid for part in self.text(tag).split("\\") if (uid := part.strip())]


def decode(data: bytes, transfer_syntax_uid: str) -> Keys:
    """Keys of an identifier; values of several parts keep their backslashes.

    Raises
    ------
    InvalidMessage
        The bytes are no data set.
    """
    encoding = encoding_of(transfer_syntax_uid)
    try:
        data_set = read_dataset(BytesIO(data), not encoding.explicit, encoding.little_endian)
        declared: Any = data_set.get_item(SPECIFIC_CHARACTER_SET) if SPECIFIC_CHARACTER_SET in data_set else None
        charset = None if declared is None else _bytes(declared.value) or None
        return _keys(data_set, charset, encoding.little_endian, 0)
    except InvalidMessage:
        raise
    except Exception as error:
        raise InvalidMessage("the identifier cannot be read in the agreed transfer syntax") from error


def _keys(data_set: Dataset, charset: bytes | None, little_endian: bool, depth: int) -> Keys:
    values: dict[int, str] = {}
    items: dict[int, Keys] = {}
    for tag in data_set.keys():  # noqa: SIM118 - iterating the data set itself converts every element
        if tag.element == 0 or tag.group <= 0x0007:
            continue
        raw: Any = data_set.get_item(tag)
        vr = _vr(tag, raw.VR)
        if vr == "SQ":
            if depth >= _MAX_DEPTH:
                raise InvalidMessage("the identifier has sequences in sequences in sequences")
            found = data_set[tag].value
            items[tag] = _keys(found[0], charset, little_endian, depth + 1) if found else Keys()
        else:
            values[tag] = _text(_bytes(raw.value), vr, charset, little_endian)
    return Keys(values, items)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _vr(tag: BaseTag, stated: str | None) -> str:
    """By the dictionary: what the peer states may be UN, or wrong."""
    try:
        return dictionary_VR(tag).partition(" ")[0]
    except KeyError:
        return stated or "UN"


def _text(raw: bytes, vr: str, charset: bytes | None, little_endian: bool) -> str:
    if vr in _NUMBERS:
        form = ("<" if little_endian else ">") + _NUMBERS[vr]
        return str(struct.unpack_from(form, raw)[0]) if len(raw) >= struct.calcsize(form) else ""
    if charset is None and not raw.isascii():
        return _unlabelled(raw, vr)
    return text_of(raw, encodings_of(charset))


def _unlabelled(raw: bytes, vr: str) -> str:
    """Text of a console that does not say its character set.

    UTF-8 is known by its form. Else the index holds the names of such consoles as Latin-1, and those of others in
    Cyrillic as what they are; a person name may be written in several ways at once, so it is asked for as both.
    """
    try:
        return raw.decode("utf-8").strip(" \0")
    except UnicodeDecodeError:
        as_indexed = text_of(raw, encodings_of(None))
        return f"{as_indexed}={raw.decode('cp1251', 'replace').strip(' ' + chr(0))}" if vr == "PN" else as_indexed


@dataclass(frozen=True)
class Element:
    """One element to write: text, a number, or items; ``None`` is a value of zero length."""

    tag: int
    vr: str
    value: str | int | Iterable[Iterable[Element]] | None


def encode(elements: Iterable[Element], transfer_syntax_uid: str) -> bytes:
    """Data set of the elements, sorted by tag."""
    encoding = encoding_of(transfer_syntax_uid)
    order = "<" if encoding.little_endian else ">"
    parts: list[bytes] = []
    for element in sorted(elements, key=lambda element: element.tag):
        value = _encoded(element, transfer_syntax_uid, order)
        group, number = element.tag >> 16, element.tag & 0xFFFF
        if not encoding.explicit:
            parts.append(struct.pack(f"{order}HHI", group, number, len(value)))
        elif element.vr in _LONG_FORM:
            parts.append(struct.pack(f"{order}HH2sHI", group, number, element.vr.encode(), 0, len(value)))
        else:
            value = value[:_MAX_SHORT_BYTES]
            parts.append(struct.pack(f"{order}HH2sH", group, number, element.vr.encode(), len(value)))
        parts.append(value)
    return b"".join(parts)


def _encoded(element: Element, transfer_syntax_uid: str, order: str) -> bytes:
    value = element.value
    if value is None or value == "":
        return b""
    if isinstance(value, int):
        if element.vr in _NUMBERS:
            return struct.pack(order + _NUMBERS[element.vr], value)
        value = str(value)
    if isinstance(value, str):
        raw = value.encode("utf-8")
        return raw + (b"\0" if element.vr == "UI" else b" ") * (len(raw) % 2)
    items = [encode(item, transfer_syntax_uid) for item in value]
    return b"".join(struct.pack(f"{order}HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
