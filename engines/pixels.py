"""One DICOM image → its values in modality units (PS3.3 C.11.1), padding left out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut

from schemas.errors import InvalidInput


def modality_values(image: Dataset) -> NDArray[np.float32]:
    """Values of a single-frame grey image.

    Parameters
    ----------
    image
        With pixel data in a transfer syntax that can be decoded here.

    Returns
    -------
    ndarray
        float32, shape (rows, columns), after rescale or Modality LUT; pixels with the padding value are 0.

    Raises
    ------
    InvalidInput
        There is no pixel data, it cannot be decoded, or it holds values that are no numbers.
    """
    name = image.get("SOPInstanceUID", "without SOPInstanceUID")
    if not any(keyword in image for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise InvalidInput(f"image {name} has no pixel data: send the complete image")
    try:
        stored = image.pixel_array
        with np.errstate(over="ignore"):  # what overflows is found below
            values = np.asarray(apply_modality_lut(stored, image), np.float32)
    except Exception as error:
        raise InvalidInput(
            f"the pixels of image {name} cannot be decoded ({error}): send it uncompressed"
        ) from error
    padding = image.get("PixelPaddingValue")
    if padding is not None:
        values = np.where(_is_padding(stored, int(padding), image), np.float32(0), values)
    if not np.isfinite(values).all():
        raise InvalidInput(f"image {name} holds values that are no finite numbers: check Rescale Slope and pixels")
    return values


def _is_padding(stored: NDArray[Any], padding: int, image: Dataset) -> NDArray[np.bool_]:
    """Where pixels are padding: one value, or a range (PS3.3 C.7.5.1.1.2)."""
    limit = image.get("PixelPaddingRangeLimit")
    low, high = sorted((padding, padding if limit is None else int(limit)))
    return (stored >= low) & (stored <= high)
