"""Where a task's images come from and its artifacts go to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from pydicom import Dataset

from engines.outcome import ArrayOutput
from producers.artifacts import (
    HEATMAP_MEDIA_TYPE,
    MASK_MEDIA_TYPE,
    PROBABILITY_MEDIA_TYPE,
    pack_heatmap,
    pack_mask,
    pack_probability,
)
from schemas.events import Artifact


class Images(Protocol):
    """As :class:`producers.claim_check.ClaimCheck`."""

    def fetch_series(
        self, retrieve_url: str, series_instance_uid: str, sop_instance_uids: Sequence[str]
    ) -> list[Dataset]:
        """Images of a series."""
        ...

    def put_artifact(
        self, retrieve_url: str, kind: str, media_type: str, data: bytes, shape: tuple[int, ...]
    ) -> Artifact:
        """Keep bytes beside the images."""
        ...


def packed(output: ArrayOutput) -> tuple[str, bytes]:
    """Media type and bytes of a volume."""
    match output.kind:
        case "mask":
            return MASK_MEDIA_TYPE, pack_mask(output.array)
        case "probability":
            return PROBABILITY_MEDIA_TYPE, pack_probability(output.array)
        case "heatmap":
            return HEATMAP_MEDIA_TYPE, pack_heatmap(output.array)


def bytes_of(images: Sequence[Dataset]) -> int:
    """Memory that images of a series hold, about: as stored, and as 32-bit numbers, all like the first one."""
    return sum(len(image.get("PixelData", b"")) for image in images) + 4 * len(images) * _pixels(images[:1])


def _pixels(images: Sequence[Dataset]) -> int:
    keywords = ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel")
    sizes = (image.get(keyword) for image in images for keyword in keywords)
    return math.prod(size for size in sizes if isinstance(size, int))
