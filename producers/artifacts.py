"""Segmentation masks ↔ bytes of an artifact.

A mask is packed eight voxels to a byte in C order (slices, rows, columns; first voxel in the highest bit) and
deflated. Packing is deterministic for one zlib build and loses nothing; unpacking checks the length, so a wrong
shape is an error and never a shifted mask.
"""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.errors import TransientFailure

MASK_MEDIA_TYPE: Final = "application/vnd.scanstream.mask"

_LEVEL: Final = 1  # masks are long runs: higher levels cost time and win little


def pack_mask(mask: npt.NDArray[np.bool_]) -> bytes:
    """Bytes of a mask.

    Parameters
    ----------
    mask
        Booleans of shape (slices, rows, columns).

    Returns
    -------
    bytes
        Media type :data:`MASK_MEDIA_TYPE`.

    Raises
    ------
    ValueError
        The array is not three-dimensional or not boolean.
    """
    if mask.ndim != 3 or mask.dtype != np.bool_:
        raise ValueError(f"a mask is a boolean array (slices, rows, columns), not {mask.dtype} {mask.shape}")
    return zlib.compress(np.packbits(mask, axis=None).tobytes(), _LEVEL)


def unpack_mask(data: bytes, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Mask of :func:`pack_mask`'s bytes.

    Parameters
    ----------
    data
        Bytes of the artifact.
    shape
        (slices, rows, columns), as the claim check gives it.

    Raises
    ------
    TransientFailure
        The bytes are not a mask of this shape: fetch them again.
    """
    voxels = int(np.prod(shape, dtype=np.int64))
    expected = (voxels + 7) // 8
    inflater = zlib.decompressobj()
    try:
        packed = inflater.decompress(data, expected + 1)  # never inflates more than the shape allows
    except zlib.error as error:
        raise TransientFailure(f"the mask cannot be inflated ({error}): fetch the artifact again") from error
    if len(packed) != expected or not inflater.eof:
        raise TransientFailure(f"the mask does not hold {voxels} voxels as {shape} says: fetch the artifact again")
    bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=voxels)
    return bits.astype(np.bool_).reshape(shape)
