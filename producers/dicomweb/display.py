"""Frames of a stored instance → images as a person sees them (PS3.18 10.4.1.1.3). Blocking.

Grayscale goes through modality LUT, window and inversion; colour becomes RGB of 8 bits. Nothing is written into
the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from producers.dicomweb.frames import decoded_frame, number_of_frames
from producers.dicomweb.grayscale import display_values, number_of
from producers.dicomweb.image_files import framed
from producers.dicomweb.render_request import Rendering, Viewport, Window
from producers.dicomweb.stored import OpenInstance, opened
from producers.store import StoredInstance
from producers.store.transcode import can_decode, decoding

#: Larger frames are not rendered: their display values would not fit into a gateway's memory beside its work.
MAX_PIXELS: Final = 40_000_000
#: Frames of a moving image; all of them, of at most :data:`MAX_PIXELS` together, are in memory at once.
MAX_MOVING_FRAMES: Final = 200


class CannotRender(Exception):
    """The instance has no image that can be made here; says why and what to do."""


def rendered(stored: StoredInstance, numbers: Iterable[int] | None, rendering: Rendering) -> Iterator[Image.Image]:
    """Images of frames.

    Parameters
    ----------
    stored
        Instance.
    numbers
        Frames, from 1, which must exist; ``None`` is the representative one.
    rendering
        Window and viewport.

    Raises
    ------
    CannotRender
        There is nothing to show, or it cannot be decoded here.
    CannotDecode
        The pixel data is broken.
    InvalidMessage
        The viewport's region is not inside of the image.
    """
    with opened(stored) as instance:
        _check(instance)
        for number in numbers or (representative_frame(instance.header, number_of_frames(instance)),):
            pixels = decoded_frame(instance, number, raw=False)
            with decoding(stored):
                shown = _shown(pixels, instance.header, number, rendering.window)
            yield framed(shown, rendering.viewport)


def representative_frame(header: Dataset, count: int) -> int:
    """Frame that the object names as representative, else the middle one."""
    named = header.get("RepresentativeFrameNumber")
    return named if isinstance(named, int) and 1 <= named <= count else (count + 1) // 2


def frame_time_ms(stored: StoredInstance) -> float | None:
    """Time that each frame of a cine image is shown for, if it says so; at most a minute."""
    with opened(stored) as instance:
        rates = (number_of(instance.header, keyword) for keyword in ("RecommendedDisplayFrameRate", "CineRate"))
        rate = next((rate for rate in rates if rate), None)
        time = 1000.0 / rate if rate else number_of(instance.header, "FrameTime")
    return min(time, 60_000.0) if time and time > 0 else None


def moving_frames(stored: StoredInstance, viewport: Viewport | None) -> int:
    """Frames of an image that can be shown as a moving one; 0 when they do not fit into memory together."""
    with opened(stored) as instance:
        count = number_of_frames(instance)
        if count < 2:
            return 0
        header = instance.header
        pixels = viewport.width * viewport.height if viewport else int(header.Rows) * int(header.Columns)
    return count if count <= MAX_MOVING_FRAMES and count * pixels <= MAX_PIXELS else 0


def _check(instance: OpenInstance) -> None:
    if number_of_frames(instance) == 0:
        raise CannotRender("the object has no image: retrieve it as application/dicom, or its metadata")
    syntax = instance.stored.transfer_syntax_uid
    if not can_decode(syntax):
        raise CannotRender(
            f"pixel data in transfer syntax {syntax} cannot be decoded here: retrieve it as it is stored, with "
            "transfer-syntax=*"
        )
    header = instance.header
    if int(header.Rows) * int(header.Columns) > MAX_PIXELS:
        raise CannotRender(f"the image has more than {MAX_PIXELS} pixels: retrieve it as application/dicom")


def _shown(pixels: NDArray[Any], header: Dataset, number: int, window: Window | None) -> NDArray[np.uint8]:
    if str(header.PhotometricInterpretation).strip() == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, header)[..., :3]
        return _eight_bits(pixels, pixels.dtype.itemsize * 8)
    if pixels.ndim == 3:
        return _eight_bits(pixels[..., :3], int(header.get("BitsStored") or header.BitsAllocated))
    return display_values(pixels, header, number, window)


def _eight_bits(pixels: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    return (pixels >> max(0, bits - 8)).astype(np.uint8)
