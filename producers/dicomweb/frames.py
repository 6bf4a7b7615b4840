"""Frame numbers → frames of a stored instance (PS3.18 10.4.1.1.6). Blocking: called in threads.

Native frames are cut out by position and encapsulated ones are sent as they are, so frames are never re-encoded;
they are decoded only for a client that asks for uncompressed data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.utils import get_expected_length, pixel_array
from pydicom.uid import UID

from producers.dicomweb.media import OCTET_STREAM
from producers.dicomweb.stored import OpenInstance, opened
from producers.store import StoredInstance
from producers.store.headers import DEFLATED
from producers.store.transcode import EXPLICIT_LITTLE, CannotDecode, decoding

#: Transfer syntax → media type of its frames (PS3.18 table 8.7.3-5).
FRAME_MEDIA_TYPES: Final = {
    "1.2.840.10008.1.2.5": "image/dicom-rle",
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.92": "image/jpx",
    "1.2.840.10008.1.2.4.93": "image/jpx",
    "1.2.840.10008.1.2.4.201": "image/jphc",
    "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
    "1.2.840.10008.1.2.4.100": "video/mpeg2",
    "1.2.840.10008.1.2.4.101": "video/mpeg2",
    "1.2.840.10008.1.2.4.102": "video/mp4",
    "1.2.840.10008.1.2.4.103": "video/mp4",
}

_IMAGE_TOO: Final = ("BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration")
_NUMBERS: Final = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")
_IMAGE: Final = (*_NUMBERS, "PhotometricInterpretation")


def media_type_of(transfer_syntax_uid: str) -> str:
    """Media type of frames as they are stored."""
    return FRAME_MEDIA_TYPES.get(transfer_syntax_uid, OCTET_STREAM)


def parse_frame_list(text: str) -> list[int]:
    """Frame numbers, from 1, of a comma-separated list.

    Raises
    ------
    ValueError
        Something in the list is no frame number.
    """
    numbers = [int(part) for part in text.split(",") if part.isascii() and part.isdigit()]
    if len(numbers) != len(text.split(",")) or min(numbers, default=0) < 1:
        raise ValueError(f"frames are numbers from 1 on, separated by commas, not {text[:40]!r}")
    return numbers


def number_of_frames(instance: OpenInstance) -> int:
    """Frames in the pixel data; 0 without any, or when what describes them cannot be read."""
    if instance.pixels is None:
        return 0
    try:
        if not all(int(instance.header[keyword].value) > 0 for keyword in _NUMBERS):
            return 0
        return max(1, int(instance.header.get("NumberOfFrames") or 1))
    except Exception:  # noqa: BLE001 - whatever pydicom says of a missing or invalid value, there is no image
        return 0


def count_frames(stored: StoredInstance) -> int:
    """Frames of a stored instance; 0 without pixel data."""
    with opened(stored) as instance:
        return number_of_frames(instance)


def stored_frames(instance: OpenInstance, numbers: Iterable[int]) -> Iterator[bytes]:
    """Frames as they are stored.

    Parameters
    ----------
    instance
        While it is open.
    numbers
        From 1, and not above :func:`number_of_frames`.

    Raises
    ------
    CannotDecode
        The pixel data is shorter than its description says, or its fragments cannot be told apart.
    """
    for number in numbers:
        with decoding(instance.stored):
            data = _stored_frame(instance, number)
        yield data


def _stored_frame(instance: OpenInstance, number: int) -> bytes:
    assert instance.pixels is not None  # noqa: S101 - only images have frames
    if instance.pixels.is_encapsulated:
        return _encapsulated(instance, number)
    bits = _bits_of_frame(instance)
    first, last = (number - 1) * bits, number * bits
    if not 0 < (last + 7) // 8 <= instance.native_length():
        raise CannotDecode("the pixel data is shorter than its frames")
    data = instance.pixel_bytes(first // 8, (last + 7) // 8 - first // 8)
    return data if bits % 8 == 0 else _cut_bits(data, first % 8, bits)


def decoded_frames(stored: StoredInstance, numbers: Iterable[int]) -> Iterator[bytes]:
    """Frames in little endian without compression, in the colour space in which they are stored.

    Raises
    ------
    CannotDecode
        The pixel data is broken.
    """
    with opened(stored) as instance:
        for number in numbers:
            yield decoded_frame(instance, number, raw=True).tobytes()


def decoded_frame(instance: OpenInstance, number: int, *, raw: bool) -> NDArray[Any]:
    """Pixels of one frame, from 1: shape (rows, columns) or (rows, columns, samples).

    Only this frame is read. Unless ``raw``, YCbCr becomes RGB.

    Raises
    ------
    CannotDecode
        The pixel data is broken.
    """
    with decoding(instance.stored):
        (data,) = stored_frames(instance, [number])
        pixels: NDArray[Any] = pixel_array(_one_frame(instance, data), raw=raw)
    return pixels


def _one_frame(instance: OpenInstance, data: bytes) -> Dataset:
    """Data set of a single-frame image with this frame."""
    assert instance.pixels is not None  # noqa: S101 - its frame is at hand
    data_set = Dataset()
    for keyword in (*_IMAGE, *_IMAGE_TOO):
        if keyword in instance.header:
            data_set[keyword] = instance.header[keyword]
    value = encapsulate([data]) if instance.pixels.is_encapsulated else data
    data_set.add_new(instance.pixels.tag, instance.pixels.vr, value)
    syntax = instance.stored.transfer_syntax_uid
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE if syntax in DEFLATED else syntax)
    return data_set


def _bits_of_frame(instance: OpenInstance) -> int:
    total = number_of_frames(instance)
    if int(instance.header.BitsAllocated) == 1:
        return get_expected_length(instance.header, "pixels") // total
    return get_expected_length(instance.header, "bytes") // total * 8


def _encapsulated(instance: OpenInstance, number: int) -> bytes:
    assert instance.pixels is not None  # noqa: S101 - the caller looked
    header = instance.header
    offsets = None
    if "ExtendedOffsetTable" in header and "ExtendedOffsetTableLengths" in header:
        offsets = (header.ExtendedOffsetTable, header.ExtendedOffsetTableLengths)
    instance.stream.seek(instance.pixels.offset)
    return get_frame(
        instance.stream,
        number - 1,
        extended_offsets=offsets,
        number_of_frames=number_of_frames(instance),
    )


def _cut_bits(data: bytes, first: int, count: int) -> bytes:
    """Bits of one frame that does not begin or end on a byte (PS3.5 8.1.1), moved to the first bit."""
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little")[first : first + count]
    return np.packbits(bits, bitorder="little").tobytes()
