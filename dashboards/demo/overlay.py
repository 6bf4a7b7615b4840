"""Images and a mask → one picture: slices side by side, the mask as a contour with a translucent fill."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Grey = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

SIDE: Final = 480  # pixels of one slice in the picture
GAP: Final = 10
MARGIN: Final = 18
COLOUR: Final = (255, 176, 32)
FILL: Final = 0.22
INK: Final = (235, 238, 242)
SOFT: Final = (150, 160, 172)
PAPER: Final = (13, 16, 20)


def draw(images: Sequence[Any], mask: Mask, title: str, caption: str) -> Image.Image:
    """Picture of three slices through the mask.

    Parameters
    ----------
    images
        Source images in the order of the mask's slices.
    mask
        (slices, rows, columns).
    title, caption
        Words above and below.
    """
    chosen = slices_of(mask)
    width = MARGIN * 2 + len(chosen) * SIDE + (len(chosen) - 1) * GAP
    picture = Image.new("RGB", (width, SIDE + 116), PAPER)
    pen = ImageDraw.Draw(picture)
    pen.text((MARGIN, 14), title, INK, ImageFont.load_default(22))
    window = grey_window([image.pixel_array for image in images])
    for column, number in enumerate(chosen):
        left = MARGIN + column * (SIDE + GAP)
        picture.paste(_slice(images[number], mask[number], window), (left, 52))
        pen.text((left + 10, 58), f"{number + 1} / {len(images)}", SOFT, ImageFont.load_default(15))
        at_left, at_right = sides(images[number].ImageOrientationPatient[:3])
        pen.text((left + 10, 52 + SIDE / 2), at_left, INK, ImageFont.load_default(18))
        pen.text((left + SIDE - 24, 52 + SIDE / 2), at_right, INK, ImageFont.load_default(18))
    pen.text((MARGIN, SIDE + 68), caption, SOFT, ImageFont.load_default(16))
    return picture


def sides(row: Sequence[Any]) -> tuple[str, str]:
    """Which side of the patient the left and the right edge of an image show (PS3.3 C.7.6.1.1.1).

    Parameters
    ----------
    row
        Direction cosines of the rows, in patient coordinates (towards left, posterior, head).
    """
    cosines = [float(value) for value in row]
    axis = max(range(3), key=lambda number: abs(cosines[number]))
    negative, positive = (("R", "L"), ("A", "P"), ("F", "H"))[axis]
    return (negative, positive) if cosines[axis] > 0 else (positive, negative)


def slices_of(mask: Mask) -> list[int]:
    """Numbers of three slices at a quarter, the middle and three quarters of the mask."""
    used = np.flatnonzero(mask.any(axis=(1, 2)))
    if used.size == 0:
        used = np.arange(mask.shape[0])
    return [int(used[round((used.size - 1) * share)]) for share in (0.25, 0.5, 0.75)]


def grey_window(pixels: Sequence[npt.NDArray[Any]]) -> tuple[float, float]:
    """Values shown as black and as white: the 1st and 99.5th percentile of what is not background."""
    values = np.concatenate([array[array > 0].ravel() for array in pixels])
    if values.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(values, (1, 99.5))
    return float(low), float(max(high, low + 1))


def outline(mask: Mask) -> Mask:
    """Pixels of the mask that touch one that is not of it."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    edge: Mask = mask & ~inside
    return edge


def _slice(image: Any, mask: Mask, window: tuple[float, float]) -> Image.Image:
    low, high = window
    grey = np.clip((image.pixel_array - low) / (high - low), 0, 1)
    size = _size(image, grey.shape)
    shown = Image.fromarray((grey * 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    # enlarged smoothly and cut at one half, so that the contour has no stairs
    large = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BICUBIC)) > 127
    colour = np.stack([np.asarray(shown, float)] * 3, axis=-1)
    colour[large] = colour[large] * (1 - FILL) + np.array(COLOUR) * FILL
    edge = outline(large)
    edge |= outline(large & ~edge)
    colour[edge] = COLOUR
    canvas = Image.new("RGB", (SIDE, SIDE), (0, 0, 0))
    canvas.paste(Image.fromarray(colour.astype(np.uint8)), ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))
    return canvas


def _size(image: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    """Width and height that show the slice in its true proportions."""
    row_mm, column_mm = (float(value) for value in image.PixelSpacing)
    height, width = shape[0] * row_mm, shape[1] * column_mm
    scale = SIDE / max(height, width)
    return round(width * scale), round(height * scale)
