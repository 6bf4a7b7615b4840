"""Offsets that were read and finished, in any order → the offset to commit and what is finished beyond it. Pure.

Urgent results overtake others of their partition, however many. The committed offset is that of the oldest
unfinished message; the finished ones behind it travel as runs in the metadata of the commit, so that after a crash
they are not delivered again. Guarantee: the metadata stays below the broker's limit of 4096 bytes
(``offset.metadata.max.bytes``); while they are full, only the oldest message of the partition may be delivered.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Final

_PREFIX: Final = "runs:"

#: Length of the metadata from which on nothing overtakes; the rest is for what is under way at that moment.
FULL: Final = 3400

#: No honest metadata unpack to more than this, in bytes.
_MOST_UNPACKED: Final = 1 << 20


class Ledger:
    """Book of one partition.

    Parameters
    ----------
    committed
        Committed offset, negative when there is none.
    metadata
        Metadata of that commit.
    """

    def __init__(self, committed: int = -1, metadata: str | None = None) -> None:
        self._next = max(committed, 0)
        self._pending: list[int] = []
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in _decode(self._next, metadata or ""):
            self._starts.append(start)
            self._ends.append(end)
        self._width = 0

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def oldest(self) -> int | None:
        """Smallest offset that was read and is not finished."""
        return self._pending[0] if self._pending else None

    def take(self, offset: int) -> bool:
        """Note that an offset was read; ``False`` where it was read before, in this life or an earlier one."""
        if self._is_finished(offset):
            self._next = max(self._next, offset + 1)
            return False
        if offset < self._next:
            place = bisect_left(self._pending, offset)
            if self._pending[place : place + 1] == [offset]:
                return False
            self._pending.insert(place, offset)
            return True
        self._next = offset + 1
        self._pending.append(offset)
        return True

    def finish(self, offset: int) -> None:
        """Note that an offset is finished."""
        place = bisect_left(self._pending, offset)
        if self._pending[place : place + 1] == [offset]:
            del self._pending[place]
        if self._is_finished(offset):
            return
        run = bisect_right(self._starts, offset)
        # offsets between two messages that nobody waits for (transaction markers) belong to either side
        joins_left = run > 0 and not self._waits_between(self._ends[run - 1], offset)
        joins_right = run < len(self._starts) and not self._waits_between(offset, self._starts[run])
        if joins_left and joins_right:
            self._ends[run - 1] = self._ends[run]
            del self._starts[run], self._ends[run]
        elif joins_left:
            self._ends[run - 1] = offset + 1
        elif joins_right:
            self._starts[run] = offset
        else:
            self._starts.insert(run, offset)
            self._ends.insert(run, offset + 1)

    def is_full(self) -> bool:
        """Whether only the oldest message may be delivered now, as of the last commit."""
        return self._width >= FULL

    def commit(self) -> tuple[int, str]:
        """Offset and metadata to commit."""
        offset = self._pending[0] if self._pending else self._next
        keep = bisect_right(self._ends, offset)
        del self._starts[:keep], self._ends[:keep]
        metadata = _encode(offset, self._starts, self._ends)
        self._width = len(metadata)
        return offset, metadata

    def _is_finished(self, offset: int) -> bool:
        run = bisect_right(self._starts, offset)
        return run > 0 and offset < self._ends[run - 1]

    def _waits_between(self, start: int, end: int) -> bool:
        return bisect_left(self._pending, start) < bisect_left(self._pending, end)


def _encode(offset: int, starts: list[int], ends: list[int]) -> str:
    if not starts:
        return ""
    packed = bytearray()
    for start, end in zip(starts, ends, strict=True):
        for number in (start - offset, end - start):
            _pack(number, packed)
        offset = end
    return _PREFIX + base64.b64encode(zlib.compress(packed, 9)).decode("ascii")


def _pack(number: int, into: bytearray) -> None:
    """Seven bits per byte, the lowest first; the highest bit says that more follow."""
    while number > 0x7F:
        into.append(number & 0x7F | 0x80)
        number >>= 7
    into.append(number)


def _decode(offset: int, metadata: str) -> list[tuple[int, int]]:
    """Runs of a commit; none where the metadata are somebody else's."""
    if not metadata.startswith(_PREFIX):
        return []
    try:
        squeezed = base64.b64decode(metadata.removeprefix(_PREFIX), validate=True)
        numbers = list(_numbers(zlib.decompressobj().decompress(squeezed, _MOST_UNPACKED)))
    except (binascii.Error, ValueError, zlib.error):
        return []
    runs = []
    for gap, length in zip(numbers[::2], numbers[1::2], strict=False):
        runs.append((offset + gap, offset + gap + length))
        offset += gap + length
    return runs


def _numbers(packed: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in packed:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number = shift = 0
