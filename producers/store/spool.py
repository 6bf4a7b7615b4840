"""Fragments of one data set → one byte sequence, in memory while small, in a file when large.

Nothing is decoded. Memory per object is bounded by ``MEMORY_BYTES``, however large the object is and however small
its fragments are, and that of all objects by the :class:`producers.store.memory.Memory` that they share. A spool
that could not take everything says so in ``failure`` and keeps nothing more.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from producers.store.files import write_all
from producers.store.memory import Memory

MEMORY_BYTES: Final = 8 * 1024 * 1024
_COPY_BYTES: Final = 1024 * 1024
#: Fragments below this are gathered, or their bookkeeping would cost more than they do.
_SMALL_BYTES: Final = 2048

Buffer = bytes | memoryview


class Spool:
    """Growing data set.

    Parameters
    ----------
    directory
        Where a large one goes while it grows; ``None`` keeps everything in memory.
    is_full
        Whether the disk takes no more.
    memory
        Bound that is shared with others; what it does not grant goes to the file. ``None`` counts nothing.

    Attributes
    ----------
    size
        Bytes received so far.
    failure
        Why not all of them are kept; ``None`` when they are.
    """

    def __init__(
        self,
        directory: Path | None = None,
        is_full: Callable[[], bool] = lambda: False,
        memory: Memory | None = None,
    ) -> None:
        self._directory = directory
        self._is_full = is_full
        self._memory = memory
        self._granted = 0
        self._parts: list[Buffer] = []
        self._small = bytearray()
        self._file: BinaryIO | None = None
        self.size = 0
        self.failure: str | None = None

    @classmethod
    def of(cls, data: bytes) -> Spool:
        """A complete data set that is in memory already."""
        spool = cls()
        spool.append(data)
        return spool

    def append(self, fragment: Buffer) -> None:
        """Add the next bytes; never raises for a full disk, see ``failure``."""
        self.size += len(fragment)
        if self.failure is not None:
            return
        if self._directory is not None and not self._may_hold(len(fragment)):
            self._append_to_file(fragment)
        elif len(fragment) < _SMALL_BYTES:
            self._small += fragment
        else:
            self._gather()
            self._parts.append(fragment)

    def prefix(self, count: int) -> bytes:
        """First ``count`` bytes (fewer when there are fewer)."""
        if self._file is not None:
            self._file.flush()
            return os.pread(self._file.fileno(), count, 0)
        self._gather()
        taken: list[Buffer] = []
        missing = count
        for part in self._parts:
            if missing <= 0:
                break
            taken.append(part[:missing])
            missing -= len(taken[-1])
        return b"".join(taken)

    def chunks(self) -> Iterator[Buffer]:
        """All bytes in order.

        Raises
        ------
        OSError
            The last bytes could not be written to the file.
        """
        if self._file is None:
            self._gather()
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
        self._small.clear()
        self._give_back()
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _may_hold(self, count: int) -> bool:
        """Whether a fragment stays in memory."""
        if self._file is not None or self.size > MEMORY_BYTES:
            return False
        if self._memory is None:
            return True
        if not self._memory.take(count):
            return False
        self._granted += count
        return True

    def _give_back(self) -> None:
        granted, self._granted = self._granted, 0
        if self._memory is not None and granted:
            self._memory.give(granted)

    def _gather(self) -> None:
        if self._small:
            self._parts.append(bytes(self._small))
            self._small.clear()

    def _append_to_file(self, fragment: Buffer) -> None:
        try:
            if self._is_full():
                raise OSError(28, "the disk is full to the mark")  # noqa: TRY301 - one way to fail
            if self._file is None:
                self._gather()
                # An unnamed file: whatever happens to the process, nothing is left behind.
                self._file = tempfile.TemporaryFile(dir=self._directory, buffering=0)  # noqa: SIM115 - close()
                for part in self._parts:
                    write_all(self._file.fileno(), part)
                self._parts.clear()
                self._give_back()
            write_all(self._file.fileno(), fragment)
        except OSError as error:
            self.failure = error.strerror or "the file system took no more"
            self._parts.clear()
            self._give_back()
