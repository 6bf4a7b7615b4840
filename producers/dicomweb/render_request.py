"""Query parameters of a rendered resource → how to render it (PS3.18 8.3.5). Pure.

A value that the standard does not allow is an error that names its parameter. What is allowed and not done here
(annotations: nothing about a patient is ever burned into an image; ICC profiles; presentation states) becomes a
sentence for a ``Warning`` header field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from schemas.errors import InvalidMessage

#: Longest side of a rendered image that may be asked for, in pixels.
MAX_SIDE: Final = 8192

Shape = Literal["linear", "linear-exact", "sigmoid"]
_SHAPES: Final[dict[str, Shape]] = {"linear": "linear", "linear-exact": "linear-exact", "sigmoid": "sigmoid"}


@dataclass(frozen=True)
class Window:
    """VOI window in units of the modality LUT's output (PS3.3 C.11.2.1.2)."""

    center: float
    width: float
    shape: Shape = "linear"


@dataclass(frozen=True)
class Viewport:
    """Rectangle into which an image is scaled, and the region of the image that is shown (PS3.18 8.3.5.1.3).

    Attributes
    ----------
    width, height
        Of the rectangle, in pixels; the region keeps its proportions and touches two sides.
    left, top
        First column and row of the region, from 0.
    region_width, region_height
        Of the region in pixels of the image, ``None`` to the edge; negative ones mirror it.
    """

    width: int
    height: int
    left: float = 0.0
    top: float = 0.0
    region_width: float | None = None
    region_height: float | None = None


@dataclass(frozen=True)
class Rendering:
    """How to render; ``quality`` is 1 to 100."""

    window: Window | None = None
    viewport: Viewport | None = None
    quality: int | None = None
    warnings: tuple[str, ...] = ()


def parse_rendering(parameters: Mapping[str, str], *, thumbnail: bool = False) -> Rendering:
    """Rendering of a request.

    Parameters
    ----------
    parameters
        Query parameters, percent-decoded; those that PS3.18 8.3.5 does not know are passed over.
    thumbnail
        A thumbnail has a viewport of two numbers and no other parameters.

    Raises
    ------
    InvalidMessage
        A value is not allowed.
    """
    viewport = _viewport(parameters["viewport"], thumbnail) if "viewport" in parameters else None
    if thumbnail:
        return Rendering(viewport=viewport)
    return Rendering(
        _window(parameters["window"]) if "window" in parameters else None,
        viewport,
        _quality(parameters["quality"]) if "quality" in parameters else None,
        tuple(_left_out(parameters)),
    )


def _left_out(parameters: Mapping[str, str]) -> list[str]:
    sentences = []
    if parameters.get("annotation"):
        values = ", ".join(_named(value) for value in parameters["annotation"].split(","))
        sentences.append(f"The following annotation values are not supported: {values}")
    if parameters.get("iccprofile", "no") != "no":
        sentences.append("The iccprofile parameter is not supported: no profile is embedded")
    return sentences


def _named(value: str) -> str:
    return value if value in ("patient", "technique") else "others"


def _quality(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= 100):
        raise InvalidMessage("quality must be a whole number from 1 to 100")
    return int(text)


def _window(text: str) -> Window:
    parts = text.split(",")
    if len(parts) != 3 or parts[2].strip().lower() not in _SHAPES:
        raise InvalidMessage(
            "window must be center,width,function with linear, linear-exact or sigmoid as function"
        )
    center, width = (_number("window", part) for part in parts[:2])
    shape = _SHAPES[parts[2].strip().lower()]
    if width <= 0 or (shape == "linear" and width < 1):
        raise InvalidMessage("the width of window must be at least 1 for linear, and above 0 for the others")
    return Window(center, width, shape)


def _viewport(text: str, thumbnail: bool) -> Viewport:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > (2 if thumbnail else 6) or len(parts) < 2:
        form = "width,height" if thumbnail else "width,height[,left,top,regionwidth,regionheight]"
        raise InvalidMessage(f"viewport must be {form}")
    width, height = (_number("viewport", part) for part in parts[:2])
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise InvalidMessage(f"width and height of viewport must be from 1 to {MAX_SIDE} pixels")
    left, top, region_width, region_height = (
        _number("viewport", part) if part else None for part in [*parts[2:], "", "", "", ""][:4]
    )
    if (left or 0) < 0 or (top or 0) < 0 or region_width == 0 or region_height == 0:
        raise InvalidMessage("the region of viewport must begin inside of the image and must not be empty")
    return Viewport(int(width), int(height), left or 0.0, top or 0.0, region_width, region_height)


def _number(name: str, text: str) -> float:
    try:
        number = float(text) if len(text) <= 32 else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or abs(number) > 1e9:
        raise InvalidMessage(f"{name} must hold decimal numbers, separated by commas")
    return number
