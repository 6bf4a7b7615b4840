"""A frame of an image with pixel data → what a person sees of it: RGB or gray of 8 bits.

Decoded with the codecs that are installed; grayscale goes through modality LUT, window and inversion.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array

from producers.dicomweb.grayscale import display_values, shown_range

#: Larger frames are not drawn: a radiograph has 15 million pixels.
MAX_PIXELS: Final = 40_000_000


class CannotShow(Exception):
    """The pixels of an image cannot be decoded here."""


def picture(image: Dataset, number: int) -> npt.NDArray[np.uint8]:
    """Frame as it is displayed.

    Parameters
    ----------
    image
        Data set with pixel data.
    number
        Frame, from 1.

    Returns
    -------
    ndarray
        (rows, columns, 3), red, green and blue of 0…255.

    Raises
    ------
    CannotShow
        No codec is installed for the transfer syntax, the pixel data is broken or missing, or too large.
    """
    try:
        pixels = _pixels(image, number)
        if str(image.PhotometricInterpretation).strip() == "PALETTE COLOR":
            looked_up = apply_color_lut(pixels, image)[..., :3]
            return _eight_bits(looked_up, looked_up.dtype.itemsize * 8)
        if pixels.ndim == 3:
            return _eight_bits(pixels[..., :3], int(image.get("BitsStored") or image.BitsAllocated))
        return np.repeat(display_values(pixels, image, number, None)[..., np.newaxis], 3, axis=2)
    except Exception as error:
        raise CannotShow(f"the pixels cannot be decoded ({type(error).__name__})") from error


def value_range(image: Dataset, number: int) -> tuple[float, float]:
    """Least and greatest value of a frame behind the modality LUT, padding apart.

    Raises
    ------
    CannotShow
        As for :func:`picture`.
    """
    try:
        return shown_range(_pixels(image, number), image, number)
    except Exception as error:
        raise CannotShow(f"the pixels cannot be decoded ({type(error).__name__})") from error


def _pixels(image: Dataset, number: int) -> npt.NDArray[Any]:
    if int(image.Rows) * int(image.Columns) > MAX_PIXELS:
        raise CannotShow(f"the image has more than {MAX_PIXELS} pixels")
    frames = int(image.get("NumberOfFrames") or 1)
    return np.asarray(pixel_array(image, index=number - 1 if frames > 1 else None))


def _eight_bits(pixels: npt.NDArray[Any], bits: int) -> npt.NDArray[np.uint8]:
    return (pixels >> max(0, bits - 8)).astype(np.uint8)
