"""A stored instance → Explicit VR Little Endian, for clients that can read nothing else. Blocking.

Only what the installed decoders can do without loss of meaning: the SOP Instance UID stays, and lossy data stays
marked as lossy. Whether it can be done is known from the transfer syntax alone, before a response begins.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Final

from pydicom import dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from producers.store.index import StoredInstance
from schemas.logs import fields

log = logging.getLogger(__name__)

EXPLICIT_LITTLE: Final = str(ExplicitVRLittleEndian)

#: Sent as they are to whoever names no transfer syntax: every reader must know them (PS3.5 10.1) or knows them.
UNCOMPRESSED: Final = frozenset({str(ImplicitVRLittleEndian), EXPLICIT_LITTLE, "1.2.840.10008.1.2.2"})

_REWRITTEN: Final = frozenset({str(ImplicitVRLittleEndian), EXPLICIT_LITTLE, str(DeflatedExplicitVRLittleEndian)})


class CannotDecode(Exception):
    """The pixel data is broken, so that its decoder fails."""


def can_decode(transfer_syntax_uid: str) -> bool:
    """Whether :func:`to_explicit_little` can do this transfer syntax on this machine."""
    if transfer_syntax_uid in _REWRITTEN:
        return True
    try:
        return bool(get_decoder(transfer_syntax_uid).is_available)
    except NotImplementedError:
        return False


@contextmanager
def decoding(stored: StoredInstance) -> Iterator[None]:
    """Translate whatever a decoder raises.

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


def to_explicit_little(stored: StoredInstance) -> bytes:
    """Part 10 file of the instance in Explicit VR Little Endian.

    Raises
    ------
    CannotDecode
        The pixel data is broken.
    """
    data_set = dcmread(stored.path)
    if stored.transfer_syntax_uid not in _REWRITTEN and "PixelData" in data_set:
        with decoding(stored):
            data_set.decompress(as_rgb=False, generate_instance_uid=False)
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    data_set.save_as(buffer, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return buffer.getvalue()
