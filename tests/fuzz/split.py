"""How an input is cut: its first byte chooses, so that the fuzzer finds cuts as it finds content."""

from __future__ import annotations

from collections.abc import Iterator

#: Sizes by the low two bits of the first byte; 0 is the whole input at once.
_SIZES = (0, 1, 7, 0)


def cut(data: bytes) -> tuple[int, list[bytes]]:
    """First byte, and the rest in pieces whose sizes it chooses."""
    if not data:
        return 0, []
    mode = data[0]
    return mode, list(pieces(data[1:], _SIZES[mode & 3] or (mode >> 2) * 16))


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """The data in pieces of at most ``size`` bytes; 0 is one piece."""
    if not size:
        yield data
        return
    for start in range(0, len(data), size):
        yield data[start : start + size]
