"""Bytes of a data set → the raw values of a few wanted elements (PS3.5 7.1), without touching the rest.

Tolerant on purpose: real archives hold stray elements, implicit elements inside explicit data sets and truncated
ends. Whatever the bytes are, reading ends with values, :class:`NeedMore` or :class:`Unreadable`; it never loops
and never reads outside the buffer.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from struct import Struct
from typing import Final

ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
UNDEFINED: Final = 0xFFFFFFFF
MAX_DEPTH: Final = 32
#: Tag of an item as it is written, by whether that is little endian.
ITEM_BYTES: Final = {True: b"\xfe\xff\x00\xe0", False: b"\xff\xfe\xe0\x00"}

_LONG: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT: Final = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())

#: Tag, VR, value length, start of the value.
Head = tuple[int, bytes, int, int]


class NeedMore(Exception):
    """The wanted elements may continue behind the end of the buffer."""


class Unreadable(Exception):
    """The bytes cannot be a data set in the given encoding."""


@dataclass(frozen=True)
class Encoding:
    """How elements are written: explicit or implicit VR, byte order (PS3.5 A)."""

    explicit: bool
    little_endian: bool


IMPLICIT_LITTLE: Final = Encoding(explicit=False, little_endian=True)


class ElementReader:
    """Walks the elements of one buffer.

    Parameters
    ----------
    data
        Start of a data set.
    encoding
        Of its transfer syntax.
    complete
        Whether ``data`` is the whole data set; then its end is the end, not a reason for :class:`NeedMore`.
    """

    def __init__(self, data: bytes, encoding: Encoding, *, complete: bool) -> None:
        self._data = data
        self._complete = complete
        self._encoding = encoding
        order = "<" if encoding.little_endian else ">"
        self._tag = Struct(f"{order}HH")
        self._long = Struct(f"{order}I")
        self._short = Struct(f"{order}H")

    def read(
        self, wanted: Collection[int], last_tag: int, nested: Collection[int] = ()
    ) -> tuple[dict[int, bytes], dict[int, dict[int, bytes]]]:
        """Raw values of the wanted elements, and of the first item of the nested sequences.

        The raw value of a sequence are its items, as they are written.

        Parameters
        ----------
        wanted
            Tags to return, at the top level and inside nested sequences.
        last_tag
            Reading ends at the first tag beyond this one.
        nested
            Tags of sequences whose first item is read too.

        Raises
        ------
        NeedMore
            The buffer ends before ``last_tag``.
        Unreadable
            Sequences are nested deeper than any real object, or their structure is broken.
        """
        values: dict[int, bytes] = {}
        items: dict[int, dict[int, bytes]] = {}
        position, end = 0, len(self._data)
        while position < end:
            head = self._head(position, self._encoding.explicit)
            if head is None:
                return values, items
            tag, vr, length, start = head
            if tag > last_tag:
                return values, items
            if tag in nested:
                items.setdefault(tag, self._first_item(start, length, wanted))
            if length == UNDEFINED:
                position = self._skip_sequence(start, self._explicit_inside(vr), 0)
                if tag in wanted:
                    values.setdefault(tag, self._data[start:position])
                continue
            position = start + length
            if position > end and not self._complete:
                raise NeedMore
            if tag in wanted:
                values.setdefault(tag, self._data[start:position])
        if not self._complete:
            raise NeedMore
        return values, items

    def _explicit_inside(self, vr: bytes) -> bool:
        """UN of undefined length holds implicit VR elements (PS3.5 6.2.2, note)."""
        return self._encoding.explicit and vr != b"UN"

    def _head(self, position: int, explicit: bool) -> Head | None:
        """Tag, VR, value length and start of the value; ``None`` at a truncated end."""
        data = self._data
        if position + 8 > len(data):
            return self._ended()
        group, element = self._tag.unpack_from(data, position)
        tag = group << 16 | element
        vr = data[position + 4 : position + 6]
        if not explicit or group == 0xFFFE:
            return tag, b"", self._long.unpack_from(data, position + 4)[0], position + 8
        if vr in _SHORT:
            return tag, vr, self._short.unpack_from(data, position + 6)[0], position + 8
        if vr in _LONG:
            if position + 12 > len(data):
                return self._ended()
            return tag, vr, self._long.unpack_from(data, position + 8)[0], position + 12
        return tag, b"", self._long.unpack_from(data, position + 4)[0], position + 8

    def _ended(self) -> Head | None:
        """End of the buffer: of a complete data set that is simply where it was cut off."""
        if not self._complete:
            raise NeedMore
        return None

    def _skip_sequence(self, position: int, explicit: bool, depth: int) -> int:
        """Position behind a sequence (or encapsulated fragments) of undefined length."""
        if depth > MAX_DEPTH:
            raise Unreadable(f"sequences are nested deeper than {MAX_DEPTH} levels")
        while True:
            head = self._head(position, explicit)
            if head is None:
                return len(self._data)
            tag, _, length, start = head
            if tag == SEQUENCE_END:
                return start
            if tag != ITEM:
                raise Unreadable(f"a sequence holds ({tag >> 16:04X},{tag & 0xFFFF:04X}) where an item must be")
            position = self._skip_item(start, explicit, depth) if length == UNDEFINED else start + length

    def _skip_item(self, position: int, explicit: bool, depth: int) -> int:
        while True:
            head = self._head(position, explicit)
            if head is None:
                return len(self._data)
            tag, vr, length, start = head
            if tag == ITEM_END:
                return start
            if length == UNDEFINED:
                position = self._skip_sequence(start, explicit and vr != b"UN", depth + 1)
            else:
                position = start + length

    def _first_item(self, start: int, length: int, wanted: Collection[int]) -> dict[int, bytes]:
        """Wanted elements directly inside the first item of a sequence."""
        found: dict[int, bytes] = {}
        end = len(self._data) if length == UNDEFINED else min(start + length, len(self._data))
        head = self._head(start, self._encoding.explicit) if start < end else None
        if head is None or head[0] != ITEM:
            return found
        _, _, item_length, position = head
        if item_length != UNDEFINED:
            end = min(end, position + item_length)
        while position < end:
            inner = self._head(position, self._encoding.explicit)
            if inner is None or inner[0] in (ITEM_END, SEQUENCE_END):
                return found
            tag, vr, value_length, value_start = inner
            if value_length == UNDEFINED:
                position = self._skip_sequence(value_start, self._explicit_inside(vr), 1)
                if tag in wanted:
                    found[tag] = self._data[value_start:position]
                continue
            position = value_start + value_length
            if tag in wanted and position <= len(self._data):
                found[tag] = self._data[value_start:position]
        return found
