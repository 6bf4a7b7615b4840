"""Stored values → display values of 8 bits: modality LUT, VOI LUT or window, presentation (PS3.4 N.2). Pure.

A grayscale transformation maps each value by itself, so for integers it is made once for every value that occurs
and then looked up: a large image costs little more than a small one. What a data set says wrongly is passed over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from producers.dicomweb.render_request import Shape, Window

Values = NDArray[np.float64]

_MODALITY: Final = "PixelValueTransformationSequence"
_VOI: Final = "FrameVOILUTSequence"
_SHAPES: Final[dict[str, Shape]] = {"LINEAR_EXACT": "linear-exact", "SIGMOID": "sigmoid"}
#: Above this many different integers the values are transformed one by one.
_MAX_TABLE: Final = 1 << 20


def display_values(pixels: NDArray[Any], header: Dataset, frame: int, window: Window | None) -> NDArray[np.uint8]:
    """Grayscale of 0 (black) to 255.

    Parameters
    ----------
    pixels
        Stored values of one frame, shape (rows, columns), integer or float.
    header
        Data set of the image.
    frame
        Its number, from 1, for the functional groups of enhanced objects.
    window
        What the user asks for, before that of the data set.
    """
    padding = _padding(header)
    image = pixels if padding is None else pixels[pixels != padding]
    if pixels.dtype.kind in "iu" and image.size:
        low, high = int(pixels.min()), int(pixels.max())
        if high - low < _MAX_TABLE:
            table = _transformed(_all_between(pixels), _all_between(image), header, frame, window)
            index: NDArray[np.intp] = np.subtract(pixels, low, dtype=np.intp)
            return np.take(table, index)
    return _transformed(_finite(pixels), _finite(image), header, frame, window)


def _all_between(pixels: NDArray[Any]) -> Values:
    return np.arange(int(pixels.min()), int(pixels.max()) + 1, dtype=np.float64)


def shown_range(pixels: NDArray[Any], header: Dataset, frame: int) -> tuple[float, float]:
    """Least and greatest value behind the modality LUT, of what is no padding; 0 and 0 where all of it is.

    Parameters
    ----------
    pixels
        Stored values of one frame, shape (rows, columns), integer or float.
    header
        Data set of the image.
    frame
        Its number, from 1, for the functional groups of enhanced objects.
    """
    padding = _padding(header)
    image = pixels if padding is None else pixels[pixels != padding]
    if not image.size:
        return 0.0, 0.0
    if image.dtype.kind in "iu" and next(_lookup_tables(header, frame, "ModalityLUTSequence"), None) is None:
        image = np.array([image.min(), image.max()])  # a line: its ends say it all
    values = _modality(_finite(image), header, frame)
    return float(values.min()), float(values.max())


def _finite(pixels: NDArray[Any]) -> Values:
    return np.nan_to_num(pixels.astype(np.float64), posinf=0.0, neginf=0.0)


def windowed(values: Values, window: Window) -> Values:
    """Values → 0 to 1 by a window function (PS3.3 C.11.2.1.2.1, C.11.2.1.3)."""
    center, width = window.center, window.width
    if window.shape == "sigmoid":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -700.0, 700.0)))
    if window.shape == "linear":
        center, width = center - 0.5, width - 1.0
    if width == 0:
        return (values > center).astype(np.float64)
    return np.clip((values - center) / width + 0.5, 0.0, 1.0)


def _transformed(
    values: Values, image: Values, header: Dataset, frame: int, window: Window | None
) -> NDArray[np.uint8]:
    """Display values; ``image`` are the values that are no padding, shown whole if nothing else is said."""
    modality = _modality(values, header, frame)
    voi = window or window_of(header, frame)
    table = next(_lookup_tables(header, frame, "VOILUTSequence"), None)
    if voi is None and table is not None:
        gray = _looked_up(modality, table)
    elif voi is not None:
        gray = windowed(modality, voi)
    else:
        gray = _stretched(modality, _modality(image, header, frame))
    if str(header.get("PhotometricInterpretation", "")).strip() == "MONOCHROME1":
        gray = 1.0 - gray
    return np.rint(gray * 255.0).astype(np.uint8)


def _modality(values: Values, header: Dataset, frame: int) -> Values:
    table = next(_lookup_tables(header, frame, "ModalityLUTSequence"), None)
    if table is not None:
        entries, first, _ = table
        return entries[_index(values, first, len(entries))]
    slope, intercept = rescale_of(header, frame)
    return values * slope + intercept


def rescale_of(header: Dataset, frame: int) -> tuple[float, float]:
    """Rescale slope and intercept (PS3.3 C.11.1.1.2) of a frame, from 1; 1 and 0 where there are none."""
    slope = _number(header, frame, _MODALITY, "RescaleSlope")
    intercept = _number(header, frame, _MODALITY, "RescaleIntercept")
    return slope or 1.0, intercept or 0.0


def window_of(header: Dataset, frame: int) -> Window | None:
    """First window of a frame, from 1; ``None`` where the data set has none that can be used."""
    center = _number(header, frame, _VOI, "WindowCenter")
    width = _number(header, frame, _VOI, "WindowWidth")
    if center is None or width is None or width <= 0:
        return None
    function = next(
        (str(item.VOILUTFunction) for item in _places(header, frame, _VOI, "VOILUTFunction")), "LINEAR"
    )
    shape = _SHAPES.get(function.strip().upper(), "linear")
    return Window(center, max(width, 1.0) if shape == "linear" else width, shape)


def _stretched(values: Values, shown: Values) -> Values:
    low, high = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 0.0)
    if high <= low:
        return np.zeros_like(values)
    return np.clip((values - low) / (high - low), 0.0, 1.0)


Table = tuple[Values, int, int]


def _lookup_tables(header: Dataset, frame: int, keyword: str) -> Iterator[Table]:
    """Entries, first value mapped and bits of a lookup table that can be read."""
    macro = _MODALITY if keyword == "ModalityLUTSequence" else _VOI
    for place in _places(header, frame, macro, keyword):
        for item in place[keyword].value or ():
            try:
                count, first, bits = (int(number) for number in item.LUTDescriptor)
                data = item.LUTData
                entries = np.frombuffer(data, np.uint16) if isinstance(data, bytes) else np.asarray(data)
            except (AttributeError, TypeError, ValueError):
                continue
            if len(entries) and 1 <= bits <= 16:
                yield entries[: count or 1 << 16].astype(np.float64), first, bits


def _looked_up(values: Values, table: Table) -> Values:
    entries, first, bits = table
    return np.clip(entries[_index(values, first, len(entries))] / ((1 << bits) - 1), 0.0, 1.0)


def _index(values: Values, first: int, count: int) -> NDArray[np.int64]:
    clipped: Values = np.clip(np.rint(values) - first, 0, count - 1)
    return clipped.astype(np.int64)


def _padding(header: Dataset) -> float | None:
    value = header.get("PixelPaddingValue")
    return float(value) if isinstance(value, int) else None


def _number(header: Dataset, frame: int, macro: str, keyword: str) -> float | None:
    numbers = (number_of(place, keyword) for place in _places(header, frame, macro, keyword))
    return next((number for number in numbers if number is not None), None)


def number_of(data_set: Dataset, keyword: str) -> float | None:
    """First value of an attribute, if that is a finite number."""
    try:
        element = data_set[keyword]
        number = float(element.value[0] if element.VM > 1 else element.value)
    except Exception:  # noqa: BLE001 - whatever pydicom says of a missing or invalid value, there is none
        return None
    return number if math.isfinite(number) else None


def _places(header: Dataset, frame: int, macro: str, keyword: str) -> Iterator[Dataset]:
    """Data sets that hold an attribute: the frame's group, the shared one, the object itself (PS3.3 C.7.6.16)."""
    groups = header.get("PerFrameFunctionalGroupsSequence") or ()
    shared = header.get("SharedFunctionalGroupsSequence") or ()
    for group in (*groups[frame - 1 : frame], *shared[:1]):
        for item in (group.get(macro) or ())[:1]:
            if keyword in item:
                yield item
    if keyword in header:
        yield header
