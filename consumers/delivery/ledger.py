"""Offsets that were read and finished, in any order → the offset to commit and what is finished beyond it. Pure.

An urgent result may overtake others of its partition. The committed offset is then that of the oldest unfinished
one, and the finished ones behind it travel as a bitmap in the metadata of the commit, so that after a crash they
are not delivered again.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

_PREFIX: Final = "done:"

#: Widest span of offsets in one bitmap: 512 bytes, well below the broker's limit of 4096 for metadata.
SPAN: Final = 4096


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
        self._pending: set[int] = set()
        self._next = max(committed, 0)
        self._finished = _decode(self._next, metadata or "")

    def __len__(self) -> int:
        return len(self._pending)

    def take(self, offset: int) -> bool:
        """Note that an offset was read; ``False`` where it was read before, in this life or an earlier one."""
        self._next = max(self._next, offset + 1)
        if offset in self._finished or offset in self._pending:
            return False
        self._pending.add(offset)
        return True

    def finish(self, offset: int) -> None:
        """Note that an offset is finished."""
        self._pending.discard(offset)
        self._finished.add(offset)

    def is_full(self) -> bool:
        """Whether reading on would make the bitmap too wide."""
        return bool(self._pending) and self._next - min(self._pending) >= SPAN

    def commit(self) -> tuple[int, str]:
        """Offset and metadata to commit."""
        offset = min(self._pending, default=self._next)
        self._finished = {done for done in self._finished if done > offset}
        return offset, _encode(offset, self._finished)


def _encode(offset: int, finished: set[int]) -> str:
    if not finished:
        return ""
    bits = 0
    for done in finished:
        bits |= 1 << (done - offset)
    return _PREFIX + base64.b64encode(bits.to_bytes((bits.bit_length() + 7) // 8, "little")).decode("ascii")


def _decode(offset: int, metadata: str) -> set[int]:
    if not metadata.startswith(_PREFIX):
        return set()
    try:
        packed = base64.b64decode(metadata.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return set()
    bits = int.from_bytes(packed, "little")
    return {offset + place for place in range(bits.bit_length()) if bits >> place & 1}
