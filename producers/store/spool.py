"""Fragments of one data set → one byte sequence, in memory while small, in a file when large.

Nothing is decoded. Memory per object is bounded by ``MEMORY_BYTES``, however large the object is.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

MEMORY_BYTES: Final = 8 * 1024 * 1024
_COPY_BYTES: Final = 1024 * 1024


class Spool:
    """Growing data set.

    Parameters
    ----------
    directory
        Where a large one goes while it grows; ``None`` keeps everything in memory.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._parts: list[bytes] = []
        self._file: BinaryIO | None = None
        self.size = 0

    @classmethod
    def of(cls, data: bytes) -> Spool:
        """A complete data set that is in memory already."""
        spool = cls()
        spool.append(data)
        return spool

    def append(self, fragment: bytes) -> None:
        """Add the next bytes.

        Raises
        ------
        OSError
            The file system took no more.
        """
        self.size += len(fragment)
        if self._file is None and (self._directory is None or self.size <= MEMORY_BYTES):
            self._parts.append(fragment)
            return
        if self._file is None:
            # An unnamed file: whatever happens to the process, nothing is left behind.
            self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 - closed by close()
            self._file.writelines(self._parts)
            self._parts.clear()
        self._file.write(fragment)

    def prefix(self, count: int) -> bytes:
        """First ``count`` bytes (fewer when there are fewer)."""
        if self._file is not None:
            self._file.flush()
            return os.pread(self._file.fileno(), count, 0)
        taken: list[bytes] = []
        missing = count
        for part in self._parts:
            if missing <= 0:
                break
            taken.append(part[:missing])
            missing -= len(taken[-1])
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def chunks(self) -> Iterator[bytes]:
        """All bytes in order."""
        if self._file is None:
            yield from self._parts
            return
        self._file.flush()
        offset = 0
        while chunk := os.pread(self._file.fileno(), _COPY_BYTES, offset):
            offset += len(chunk)
            yield chunk

    def close(self) -> None:
        """Let go of memory and file."""
        self._parts.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
