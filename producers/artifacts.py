"""Volumes that a model made (masks, probabilities, heatmaps) ↔ bytes of an artifact.

All are in C order (slices, rows, columns) and deflated:

=============  ======================================================================
mask           eight voxels to a byte, the first in the highest bit
probability    a byte a voxel, 0…255 for 0…1
heatmap        four bytes a voxel, little endian float (IEEE 754), finite
=============  ======================================================================

Packing is deterministic for one zlib build; masks and heatmaps lose nothing, probabilities at most 1/510.
Unpacking never inflates more than the shape allows and checks the length, so a wrong shape is an error and never a
shifted volume.
"""

from __future__ import annotations

import math
import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.errors import InvalidMessage, TransientFailure

MASK_MEDIA_TYPE: Final = "application/vnd.scanstream.mask"
PROBABILITY_MEDIA_TYPE: Final = "application/vnd.scanstream.probability"
HEATMAP_MEDIA_TYPE: Final = "application/vnd.scanstream.heatmap"

Volume32 = npt.NDArray[np.float32]

_LEVEL: Final = 1  # masks are long runs: higher levels cost time and win little
_STEPS: Final = 255
#: 16384 images of 512 x 512: far more than any series has.
_MOST_VOXELS: Final = 2**32
_FLOAT: Final = np.dtype("<f4")


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
    InvalidMessage
        The shape is not that of a volume.
    """
    voxels = _voxels(shape)
    packed = _inflated(data, (voxels + 7) // 8, "mask", shape)
    bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=voxels)
    return bits.view(np.bool_).reshape(shape)


def pack_probability(volume: Volume32) -> bytes:
    """Bytes of the probability of a segment.

    Parameters
    ----------
    volume
        Numbers in 0…1 of shape (slices, rows, columns).

    Returns
    -------
    bytes
        Media type :data:`PROBABILITY_MEDIA_TYPE`.

    Raises
    ------
    ValueError
        The array is not three-dimensional, or a number is none or lies outside 0…1.
    """
    if volume.ndim != 3 or not bool(np.all((volume >= 0) & (volume <= 1))):
        raise ValueError(f"a probability is an array (slices, rows, columns) of numbers in 0…1: {volume.shape}")
    return zlib.compress(np.rint(volume * np.float32(_STEPS)).astype(np.uint8).tobytes(), _LEVEL)


def unpack_probability(data: bytes, shape: tuple[int, ...]) -> Volume32:
    """Probability of :func:`pack_probability`'s bytes, in 0…1 and 1/510 near what was packed.

    Parameters
    ----------
    data
        Bytes of the artifact.
    shape
        (slices, rows, columns), as the claim check gives it.

    Raises
    ------
    TransientFailure
        The bytes are not a probability of this shape: fetch them again.
    InvalidMessage
        The shape is not that of a volume.
    """
    packed = _inflated(data, _voxels(shape), "probability", shape)
    steps = np.frombuffer(packed, dtype=np.uint8).reshape(shape)
    return steps.astype(np.float32) / np.float32(_STEPS)


def pack_heatmap(volume: Volume32) -> bytes:
    """Bytes of a heatmap.

    Parameters
    ----------
    volume
        Finite numbers of shape (slices, rows, columns).

    Returns
    -------
    bytes
        Media type :data:`HEATMAP_MEDIA_TYPE`.

    Raises
    ------
    ValueError
        The array is not three-dimensional or not of 32-bit floats, or a number is infinite or none.
    """
    if volume.ndim != 3 or volume.dtype != np.float32 or not bool(np.isfinite(volume).all()):
        raise ValueError(
            "a heatmap is an array (slices, rows, columns) of finite 32-bit floats, "
            f"not {volume.dtype} {volume.shape}"
        )
    return zlib.compress(volume.astype(_FLOAT, copy=False).tobytes(), _LEVEL)


def unpack_heatmap(data: bytes, shape: tuple[int, ...]) -> Volume32:
    """Heatmap of :func:`pack_heatmap`'s bytes.

    Parameters
    ----------
    data
        Bytes of the artifact.
    shape
        (slices, rows, columns), as the claim check gives it.

    Raises
    ------
    TransientFailure
        The bytes are not a heatmap of this shape: fetch them again.
    InvalidMessage
        The shape is not that of a volume, or a number is infinite or none.
    """
    packed = _inflated(data, _voxels(shape) * _FLOAT.itemsize, "heatmap", shape)
    volume = np.frombuffer(packed, dtype=_FLOAT).reshape(shape).astype(np.float32)
    if not bool(np.isfinite(volume).all()):
        raise InvalidMessage("the heatmap holds numbers that are infinite or none: run the model again")
    return volume


def _voxels(shape: tuple[int, ...]) -> int:
    if len(shape) != 3 or min(shape) < 0 or math.prod(shape) > _MOST_VOXELS:
        raise InvalidMessage(
            f"an artifact has the shape {shape}, not (slices, rows, columns) of a series: run the model again"
        )
    return math.prod(shape)


def _inflated(data: bytes, expected: int, what: str, shape: tuple[int, ...]) -> bytes:
    """Bytes behind the deflated ones, exactly as many as expected."""
    inflater = zlib.decompressobj()
    try:
        packed = inflater.decompress(data, expected + 1)
    except zlib.error as error:
        raise TransientFailure(f"the {what} cannot be inflated ({error}): fetch the artifact again") from error
    if len(packed) != expected or not inflater.eof:
        raise TransientFailure(
            f"the {what} does not hold {math.prod(shape)} voxels as {shape} says: fetch the artifact again"
        )
    return packed
