"""A stored Part 10 file → its header, its pixel data and its bytes, for WADO-RS. Blocking: called in threads.

The header is read up to the pixel data, which is then found by position, so one frame of a large object does not
read the others. Nothing is validated: what was accepted can be read back.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from producers.dicomweb.dicom_json import PIXEL_DATA
from producers.store import StoredInstance
from producers.store.headers import DEFLATED, encoding_of
from producers.store.inflate import inflated
from producers.store.transcode import to_explicit_little

UNDEFINED_LENGTH: Final = 0xFFFFFFFF
_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True)
class PixelElement:
    """Where the pixel data is.

    Attributes
    ----------
    tag, vr
        One of the three pixel data attributes, and its value representation.
    offset
        Position of its value in the stream of the data set.
    length
        Of the value in bytes; :data:`UNDEFINED_LENGTH` for encapsulated data.
    """

    tag: int
    vr: str
    offset: int
    length: int

    @property
    def is_encapsulated(self) -> bool:
        """Whether the value is a sequence of fragments (PS3.5 A.4)."""
        return self.length == UNDEFINED_LENGTH


@dataclass(frozen=True)
class OpenInstance:
    """A stored instance while its file is open: everything before the pixel data, and where that is."""

    stored: StoredInstance
    header: Dataset
    pixels: PixelElement | None
    stream: BinaryIO

    def pixel_bytes(self, offset: int, count: int) -> bytes:
        """Bytes of the pixel data, counted from the start of its value."""
        assert self.pixels is not None  # noqa: S101 - asked for by callers that looked
        self.stream.seek(self.pixels.offset + offset)
        return self.stream.read(count)

    def native_length(self) -> int:
        """Bytes of native pixel data that are there: a file may be shorter than it says."""
        assert self.pixels is not None  # noqa: S101 - asked for by callers that looked
        return max(0, min(self.pixels.length, self.stream.seek(0, os.SEEK_END) - self.pixels.offset))


@contextmanager
def opened(stored: StoredInstance) -> Iterator[OpenInstance]:
    """Open a stored instance and read its header.

    Raises
    ------
    OSError
        The file is gone.
    """
    with ExitStack() as stack:
        stream: BinaryIO = stack.enter_context(stored.path.open("rb"))
        stream.seek(stored.data_set_offset)
        if stored.transfer_syntax_uid in DEFLATED:
            stream = stack.enter_context(closing(inflated(stream)[0]))
        header, pixels = _read_header(stream, stored.transfer_syntax_uid)
        yield OpenInstance(stored, header, pixels, stream)


def _read_header(stream: BinaryIO, transfer_syntax_uid: str) -> tuple[Dataset, PixelElement | None]:
    found: list[tuple[int, str | None, int]] = []

    def at_pixel_data(tag: BaseTag, vr: str | None, length: int) -> bool:
        if tag in PIXEL_DATA:
            found.append((int(tag), vr, length))
            return True
        return False

    encoding = encoding_of(transfer_syntax_uid)
    header = read_dataset(stream, not encoding.explicit, encoding.little_endian, stop_when=at_pixel_data)
    if not found:
        return header, None
    # The reader puts itself back to the start of the element that it stopped at.
    tag, vr, length = found[-1]
    head_bytes = 8 if vr is None else 12
    return header, PixelElement(tag, vr or "OW", stream.tell() + head_bytes, length)


def file_bytes(stored: StoredInstance) -> int:
    """Length of the Part 10 file."""
    return stored.data_set_offset + stored.size_bytes


def file_chunks(stored: StoredInstance, wanted: range | None = None) -> Iterator[bytes]:
    """The Part 10 file, or the bytes of it that are wanted, in chunks of at most 1 MiB."""
    position, end = (wanted.start, wanted.stop) if wanted is not None else (0, file_bytes(stored))
    descriptor = os.open(stored.path, os.O_RDONLY)
    try:
        while chunk := os.pread(descriptor, min(_CHUNK_BYTES, end - position), position):
            position += len(chunk)
            yield chunk
    finally:
        os.close(descriptor)


def decoded_chunks(stored: StoredInstance) -> Iterator[bytes]:
    """Part 10 file in Explicit VR Little Endian, in chunks of at most 1 MiB.

    It waits for a slow reader on disk, not in memory.

    Raises
    ------
    CannotDecode
        The pixel data, or the data set around it, is broken or too large.
    """
    with tempfile.TemporaryFile(dir=stored.path.parent) as file:
        file.write(to_explicit_little(stored))
        file.seek(0)
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
