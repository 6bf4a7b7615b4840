"""A stored instance → an uncompressed transfer syntax, for peers that can read nothing else. Blocking.

Only what the installed decoders can do without loss of meaning: the SOP Instance UID stays, and lossy data stays
marked as lossy. Whether it can be done is known from the transfer syntax alone, before a response begins.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from typing import BinaryIO, Final

from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_file_meta_info
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from producers.store.headers import DEFLATED
from producers.store.index import StoredInstance
from producers.store.inflate import inflated
from schemas.logs import fields

log = logging.getLogger(__name__)

EXPLICIT_LITTLE: Final = str(ExplicitVRLittleEndian)
IMPLICIT_LITTLE: Final = str(ImplicitVRLittleEndian)
EXPLICIT_BIG: Final = str(ExplicitVRBigEndian)

#: Sent as they are to whoever names no transfer syntax: every reader must know them (PS3.5 10.1) or knows them.
UNCOMPRESSED: Final = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG})

#: What would be larger uncompressed is not converted: all of it would be in memory, several times over.
MAX_CONVERTED_BYTES: Final = 1024**3

_REWRITTEN: Final = UNCOMPRESSED | {str(DeflatedExplicitVRLittleEndian)}
#: Pixel data in its three forms.
_PIXEL_DATA: Final = (0x7FE00008, 0x7FE00009, 0x7FE00010)
#: Bytes of one value, where pydicom keeps values as bytes in the order in which they were read.
_SWAPPED: Final = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


class CannotDecode(Exception):
    """The data set or its pixel data is broken, so that a reader or decoder fails."""


def can_decode(transfer_syntax_uid: str) -> bool:
    """Whether :func:`converted` can read this transfer syntax on this machine."""
    if transfer_syntax_uid in _REWRITTEN:
        return True
    try:
        return bool(get_decoder(transfer_syntax_uid).is_available)
    except NotImplementedError:
        return False


@contextmanager
def decoding(stored: StoredInstance) -> Iterator[None]:
    """Translate whatever a decoder or a reader raises.

    Raises
    ------
    CannotDecode
        The block raised.
    """
    try:
        yield
    except Exception as error:
        log.warning("pixel data cannot be decoded", extra=fields(sop_instance_uid=stored.sop_instance_uid))
        raise CannotDecode(f"the pixel data of {stored.sop_instance_uid} cannot be decoded") from error


def converted(stored: StoredInstance, transfer_syntax_uid: str) -> bytes:
    """Part 10 file of the instance in an uncompressed transfer syntax.

    Parameters
    ----------
    stored
        Of a transfer syntax that :func:`can_decode` knows.
    transfer_syntax_uid
        One of :data:`UNCOMPRESSED`.

    Raises
    ------
    CannotDecode
        The pixel data, or the data set around it, is broken, or larger than :data:`MAX_CONVERTED_BYTES`.
    OSError
        The file is gone.
    """
    target = UID(transfer_syntax_uid)
    with stored.path.open("rb") as file, decoding(stored):
        _bound(stored.size_bytes)
        data_set = _read(file, stored)
        # Of a data set that is cut off, pydicom gives a part or nothing, with a warning at most.
        if "SOPInstanceUID" not in data_set:
            raise CannotDecode("the data set cannot be read")
        if "Rows" in data_set and not any(tag in data_set for tag in _PIXEL_DATA):
            raise CannotDecode("an image without pixel data")
        if stored.transfer_syntax_uid not in _REWRITTEN and "PixelData" in data_set:
            _bound(get_expected_length(data_set))
            data_set.decompress(as_rgb=False, generate_instance_uid=False)
        if (stored.transfer_syntax_uid == EXPLICIT_BIG) == target.is_little_endian:
            _swap(data_set)
        data_set.file_meta.TransferSyntaxUID = target
        buffer = BytesIO()
        dcmwrite(
            buffer,
            data_set,
            implicit_vr=target.is_implicit_VR,
            little_endian=target.is_little_endian,
            enforce_file_format=True,
        )
        return buffer.getvalue()


def to_explicit_little(stored: StoredInstance) -> bytes:
    """Part 10 file of the instance in Explicit VR Little Endian; see :func:`converted`."""
    return converted(stored, EXPLICIT_LITTLE)


def _bound(count: int) -> None:
    if count > MAX_CONVERTED_BYTES:
        raise CannotDecode(f"larger than {MAX_CONVERTED_BYTES} bytes")


def _read(file: BinaryIO, stored: StoredInstance) -> Dataset:
    """Data set of a Part 10 file; a deflated one is bounded, which pydicom's reader does not do."""
    if stored.transfer_syntax_uid not in DEFLATED:
        return dcmread(file)
    file.seek(stored.data_set_offset)
    stream, is_whole = inflated(file, MAX_CONVERTED_BYTES)
    with closing(stream):
        if not is_whole:
            raise CannotDecode(f"cut off, or larger than {MAX_CONVERTED_BYTES} bytes")
        data_set = read_dataset(stream, is_implicit_VR=False, is_little_endian=True)
    data_set.file_meta = read_file_meta_info(stored.path)
    return data_set


def _swap(data_set: Dataset) -> None:
    """Reverse the bytes of each value of the arrays of words (PS3.5 7.3)."""
    for element in data_set:
        if element.VR == "SQ":
            for item in element.value:
                _swap(item)
        elif element.VR in _SWAPPED and element.value:
            width = _SWAPPED[element.VR]
            words = bytes(element.value)
            reversed_words = bytearray(len(words))
            for place in range(width):
                reversed_words[place::width] = words[width - 1 - place :: width]
            element.value = bytes(reversed_words)
