"""Display values → an image file of a viewport's size (PS3.18 8.3.5.1.3, table 8.7.4-1). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from producers.dicomweb.render_request import MAX_SIDE, Viewport
from schemas.errors import InvalidMessage

JPEG: Final = "image/jpeg"
PNG: Final = "image/png"
GIF: Final = "image/gif"

#: What can be made, the default first.
RENDERED_TYPES: Final = (JPEG, PNG, GIF)

_JPEG_QUALITY: Final = 90
_FRAME_MS: Final = 100


def framed(pixels: NDArray[np.uint8], viewport: Viewport | None) -> Image.Image:
    """The image, or its region scaled into the viewport with its proportions.

    Parameters
    ----------
    pixels
        Shape (rows, columns) or (rows, columns, 3).
    viewport
        ``None`` keeps the size.

    Raises
    ------
    InvalidMessage
        The region is not inside of the image.
    """
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if viewport is None:
        return image
    width = _extent(viewport.left, viewport.region_width, image.width)
    height = _extent(viewport.top, viewport.region_height, image.height)
    box = (viewport.left, viewport.top, viewport.left + width, viewport.top + height)
    scale = min(viewport.width / width, viewport.height / height)
    size = tuple(max(1, min(MAX_SIDE, round(length * scale))) for length in (width, height))
    image = image.resize((size[0], size[1]), Image.Resampling.BICUBIC, box, reducing_gap=2.0)
    if viewport.region_width is not None and viewport.region_width < 0:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if viewport.region_height is not None and viewport.region_height < 0:
        image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return image


def _extent(first: float, length: float | None, available: int) -> float:
    extent = available - first if length is None else abs(length)
    if extent <= 0 or first + extent > available:
        raise InvalidMessage("the region of viewport is not inside of the image")
    return extent


def encoded(image: Image.Image, media_type: str, quality: int | None) -> bytes:
    """Image file; ``quality`` (1 to 100) is for JPEG only."""
    buffer = BytesIO()
    match media_type:
        case "image/jpeg":
            image.save(buffer, "JPEG", quality=quality or _JPEG_QUALITY)
        case "image/png":
            image.save(buffer, "PNG", compress_level=3)
        case _:
            image.save(buffer, "GIF")
    return buffer.getvalue()


def animated(images: Sequence[Image.Image], frame_ms: float | None) -> bytes:
    """GIF that shows the images one after the other, for ever; ``frame_ms`` each."""
    buffer = BytesIO()
    duration = max(20, round(frame_ms or _FRAME_MS))
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=duration, loop=0)
    return buffer.getvalue()
