"""One frame → its values in modality units (PS3.3 C.11.1), padding left out; or its colours.

Compressed and big-endian transfer syntaxes are decoded by pydicom and its plugins, one frame at a time, so that a
large series never lies decoded in memory.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array

from engines.frames import Frame
from engines.native import native_values
from schemas.errors import InvalidInput

#: Whole numbers below this, and the values of 16 bits added to them, are exact in float32.
_EXACT: Final = 2.0**23

_PALETTE: Final = "PALETTE COLOR"
_PIXELS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def is_colour(frame: Frame) -> bool:
    """Whether a frame has several samples per pixel, or a palette."""
    return int(frame.header("SamplesPerPixel") or 1) != 1 or frame.header("PhotometricInterpretation") == _PALETTE


def modality_values(frame: Frame, fill: float = 0, *, invert_monochrome1: bool = False) -> NDArray[np.float32]:
    """Values of a grey frame.

    Parameters
    ----------
    frame
        With pixel data in a transfer syntax that can be decoded here.
    fill
        Value of pixels that are padding (0028,0120).
    invert_monochrome1
        Whether stored values are turned round in their range where the photometric interpretation is MONOCHROME1.

    Returns
    -------
    ndarray
        float32, shape (rows, columns), after rescale or Modality LUT.

    Raises
    ------
    InvalidInput
        It is in colour, has no pixel data, cannot be decoded, or holds values that are no numbers.
    """
    if is_colour(frame):
        raise InvalidInput(f"{frame.name} is in colour: the model needs grey values")
    stored = _stored(frame)
    padding = frame.header("PixelPaddingValue")
    hidden = None if padding is None else _is_padding(stored, padding, frame)
    if invert_monochrome1 and frame.header("PhotometricInterpretation") == "MONOCHROME1":
        stored = _inverted(stored, frame)
    try:
        with np.errstate(over="ignore"):  # what overflows is found below
            values = np.asarray(_rescaled(stored, frame), np.float32)
    except Exception as error:
        raise InvalidInput(
            f"the values of {frame.name} cannot be rescaled ({error}): correct its header"
        ) from error
    if hidden is not None and hidden.any():
        values = np.where(hidden, np.float32(fill), values)
    if not np.isfinite(values).all():
        raise InvalidInput(f"{frame.name} holds values that are no finite numbers: check Rescale Slope and pixels")
    return values


def colours(frame: Frame) -> NDArray[np.float32]:
    """Red, green, blue of a frame, 0 to 255; a grey one has all three alike, scaled from its stored range.

    Returns
    -------
    ndarray
        float32, shape (rows, columns, 3).

    Raises
    ------
    InvalidInput
        It has no pixel data or cannot be decoded.
    """
    stored = _stored(frame)
    bits = int(frame.header("BitsStored") or 8)
    if is_colour(frame):
        if frame.header("PhotometricInterpretation") == _PALETTE:
            stored, bits = _palette(stored, frame), 16
        if stored.ndim != 3 or stored.shape[2] != 3:
            raise InvalidInput(f"{frame.name} has {stored.shape[2:]} samples per pixel: the model needs three")
        return stored.astype(np.float32) * np.float32(255 / (2**bits - 1))
    if frame.header("PhotometricInterpretation") == "MONOCHROME1":
        stored = _inverted(stored, frame)
    lowest, highest = _range(frame)
    grey = (stored.astype(np.float32) - np.float32(lowest)) * np.float32(255 / (highest - lowest))
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


def _stored(frame: Frame) -> NDArray[Any]:
    if not any(keyword in frame.image for keyword in _PIXELS):
        raise InvalidInput(f"{frame.name} has no pixel data: send the complete image")
    ordinary = native_values(frame)
    if ordinary is not None:
        return ordinary
    try:
        stored: NDArray[Any] = pixel_array(frame.image, index=frame.index)
    except Exception as error:
        raise InvalidInput(
            f"the pixels of {frame.name} cannot be decoded ({error}): send it uncompressed"
        ) from error
    if stored.shape[:2] != frame.shape:
        raise InvalidInput(f"the pixels of {frame.name} are {stored.shape[:2]} and its header says {frame.shape}")
    return stored


def _rescaled(stored: NDArray[Any], frame: Frame) -> NDArray[Any]:
    if frame.index is None:
        whole = _whole_intercept(stored, frame)
        if whole is not None:
            return stored.astype(np.float32) + whole
        return np.asarray(apply_modality_lut(stored, frame.image))
    slope, intercept = frame.number_of("RescaleSlope"), frame.number_of("RescaleIntercept")
    if slope is None and intercept is None:
        return np.asarray(apply_modality_lut(stored, frame.image))
    return stored * np.float64(1 if slope is None else slope) + np.float64(intercept or 0)


def _whole_intercept(stored: NDArray[Any], frame: Frame) -> np.float32 | None:
    """Rescale Intercept where all that rescaling does is to add it, without rounding in float32; else ``None``."""
    if stored.dtype.kind not in "iu" or stored.dtype.itemsize > 2 or "ModalityLUTSequence" in frame.image:
        return None
    slope, intercept = frame.header("RescaleSlope"), frame.header("RescaleIntercept")
    if not isinstance(slope, float) or slope != 1 or not isinstance(intercept, float):
        return None
    return np.float32(intercept) if intercept.is_integer() and abs(intercept) < _EXACT else None


def _palette(stored: NDArray[Any], frame: Frame) -> NDArray[Any]:
    from pydicom.pixels.processing import apply_color_lut

    try:
        found: NDArray[Any] = apply_color_lut(stored, frame.image)
    except Exception as error:
        raise InvalidInput(f"the palette of {frame.name} cannot be used ({error}): send RGB") from error
    return found.astype(np.uint16) * 257 if found.dtype == np.uint8 else found


def _range(frame: Frame) -> tuple[int, int]:
    """Lowest and highest value that can be stored (PS3.3 C.7.6.3.1)."""
    bits = int(frame.header("BitsStored") or 16)
    if int(frame.header("PixelRepresentation") or 0):
        return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1


def _inverted(stored: NDArray[Any], frame: Frame) -> NDArray[Any]:
    lowest, highest = _range(frame)
    wide: NDArray[Any] = np.int32(lowest + highest) - stored.astype(np.int32)
    return wide


def _is_padding(stored: NDArray[Any], padding: Any, frame: Frame) -> NDArray[np.bool_]:
    """Where pixels are padding: one value, or a range (PS3.3 C.7.5.1.1.2)."""
    limit = frame.header("PixelPaddingRangeLimit")
    try:
        low, high = sorted((int(padding), int(padding if limit is None else limit)))
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{frame.name} has a PixelPaddingValue that is no number: correct it") from error
    return np.asarray((stored >= low) & (stored <= high))
