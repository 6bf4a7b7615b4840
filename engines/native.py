"""Frame of an uncompressed grey image → its stored values, as pydicom gives them, without its preparations.

Half of what decoding an ordinary slice costs is to collect and check options that such a slice does not need.
Guarantee: what is not of this kind, or does not have exactly the bytes that its header asks for, is not read here.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from engines.frames import Frame

_SYNTAXES: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_GREY: Final = ("MONOCHROME1", "MONOCHROME2")
#: Float and Double Float Pixel Data, one of which may stand in place of Pixel Data.
_FLOATS: Final = (BaseTag(0x7FE00008), BaseTag(0x7FE00009))
#: By Bits Allocated and Pixel Representation (PS3.3 C.7.6.3).
_TYPES: Final = {(8, 0): "<u1", (8, 1): "<i1", (16, 0): "<u2", (16, 1): "<i2"}


def native_values(frame: Frame) -> NDArray[Any] | None:
    """Stored values of a frame.

    Parameters
    ----------
    frame
        Of any image.

    Returns
    -------
    ndarray or None
        Integers of shape (rows, columns), bits that are not stored left out (PS3.5 8.1.1); ``None`` where the
        image is for pydicom to read.
    """
    meta = getattr(frame.image, "file_meta", None)
    syntax = meta.get("TransferSyntaxUID") if isinstance(meta, Dataset) else None
    if syntax not in _SYNTAXES or frame.header("PhotometricInterpretation") not in _GREY:
        return None
    count, bits, stored_bits = (
        frame.header(keyword) for keyword in ("NumberOfFrames", "BitsAllocated", "BitsStored")
    )
    if frame.header("SamplesPerPixel") != 1 or (frame.index is None) is not (count is None):
        return None
    if any(tag in frame.image for tag in _FLOATS):
        return None
    sign = frame.header("PixelRepresentation")
    if not all(isinstance(value, int) for value in (count or 1, bits, stored_bits, sign)):
        return None
    kind = _TYPES.get((bits, sign))
    if kind is None or not 1 <= stored_bits <= bits:
        return None
    rows, columns = frame.shape
    pixels, size = rows * columns, bits // 8
    data, needed = frame.image.get("PixelData"), pixels * size * (count or 1)
    if not isinstance(data, bytes) or len(data) != needed + needed % 2:
        return None
    stored = np.frombuffer(data, kind, pixels, (frame.index or 0) * pixels * size).reshape(rows, columns)
    unused = bits - stored_bits
    return stored if unused == 0 else (stored << unused) >> unused
