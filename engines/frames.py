"""Images of one series, single-frame or multi-frame → their frames, with place, spacing and rescale of each.

A multi-frame image (PS3.3 C.7.6.16) keeps these in functional groups, of the frame or shared by all; a classic
image keeps them at the top level. Whoever reads a frame need not know which it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataelem import RawDataElement

from schemas.errors import InvalidInput

#: Functional group macro of each attribute that a frame may have of its own (PS3.3 C.7.6.16.2).
_MACROS: Final = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "SpacingBetweenSlices": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "AcquisitionNumber": "FrameContentSequence",
    "FrameAcquisitionNumber": "FrameContentSequence",
}


@dataclass(frozen=True)
class Frame:
    """One frame of one image; ``index`` counts from 0 and is ``None`` in a single-frame image."""

    image: Dataset
    index: int | None = None
    _seen: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def header(self, keyword: str) -> Any:
        """Value of an attribute at the top level of the image, or ``None``; looked up only once."""
        seen = self._seen
        if keyword not in seen:
            seen[keyword] = self.image.get(keyword)
        return seen[keyword]

    @property
    def sop_instance_uid(self) -> str:
        """Of its image."""
        return str(self.header("SOPInstanceUID"))

    @property
    def number(self) -> int | None:
        """Frame number from 1, as events and reports write it; ``None`` in a single-frame image."""
        return None if self.index is None else self.index + 1

    @property
    def name(self) -> str:
        """How messages call it."""
        uid = self.header("SOPInstanceUID")
        uid = "without SOPInstanceUID" if uid is None else uid
        return f"image {uid}" if self.index is None else f"frame {self.index + 1} of image {uid}"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.header("Rows")), int(self.header("Columns"))

    def value(self, keyword: str) -> Any:
        """Value of an attribute in the frame's group, the shared one, or the image; ``None`` where it is empty."""
        for group in self._groups(_MACROS.get(keyword)):
            found = group.get(keyword)
            if not _is_empty(found):
                return found
        found = self.header(keyword)
        return None if _is_empty(found) else found

    def has(self, keyword: str) -> bool:
        """Whether an attribute has a value."""
        return bool(self._written(keyword)) or self.value(keyword) is not None

    def numbers(self, keyword: str, length: int) -> NDArray[np.float64]:
        """Numbers of an attribute.

        Raises
        ------
        InvalidInput
            It is missing, or does not hold so many finite numbers.
        """
        try:
            written = self._written(keyword)
            values = np.array([float(value) for value in written or self.value(keyword)], np.float64)
        except (TypeError, ValueError):
            values = np.empty(0)
        if values.shape != (length,) or not np.isfinite(values).all():
            raise InvalidInput(f"{self.name} has no usable {keyword}: the model needs {length} numbers there")
        return values

    def number_of(self, keyword: str) -> float | None:
        """One number of an attribute, if it is one."""
        try:
            value = float(self.value(keyword))
        except (TypeError, ValueError):
            return None
        return value if np.isfinite(value) else None

    def _written(self, keyword: str) -> list[bytes] | None:
        """Numbers of a single-frame image as they were written, if pydicom has not converted them yet.

        Its decimal strings cost more than anything else in the header of a slice.
        """
        if self.index is not None or keyword in self._seen:
            return None
        element: Any = self.image.get_item(keyword)
        if not isinstance(element, RawDataElement) or element.VR not in ("DS", None) or not element.value:
            return None
        parts: list[bytes] = element.value.rstrip(b"\0 ").split(b"\\")
        return parts

    def _groups(self, macro: str | None) -> list[Dataset]:
        if macro is None or self.index is None:
            return []
        of_frame = self.header("PerFrameFunctionalGroupsSequence") or []
        groups = [
            *of_frame[self.index : self.index + 1],
            *(self.header("SharedFunctionalGroupsSequence") or []),
        ]
        return [item for group in groups for item in group.get(macro) or []]


def frames_of(images: Sequence[Dataset], maximum: int) -> list[Frame]:
    """Every frame of the images, those of one image in their order.

    Parameters
    ----------
    images
        Of one series.
    maximum
        More frames are refused.

    Raises
    ------
    InvalidInput
        An image is no image, belongs to another series, says nonsense about its frames, or they are too many.
    """
    found: list[Frame] = []
    seen: set[str] = set()
    series = images[0].get("SeriesInstanceUID") if images else None
    for image in images:
        frame = Frame(image)
        if not frame.header("SOPInstanceUID"):
            raise InvalidInput(f"{frame.name} has no SOPInstanceUID: the model needs images")
        for keyword in ("Rows", "Columns", "SamplesPerPixel"):
            if keyword != "SamplesPerPixel" or keyword in image:
                _check_count(frame, keyword)
        if frame.header("SeriesInstanceUID") != series:
            raise InvalidInput(f"{frame.name} belongs to another series: send one series at a time")
        if frame.sop_instance_uid in seen:
            raise InvalidInput(f"{frame.name} is there twice: send every image once")
        seen.add(frame.sop_instance_uid)
        found += _of_image(frame, maximum)
    if len(found) > maximum:
        raise InvalidInput(
            f"the series has {len(found)} images or frames, the model takes at most {maximum}: send a part of it"
        )
    return found


def without_localizers(frames: list[Frame]) -> tuple[list[Frame], tuple[str, ...]]:
    """Frames that are no localizers (scouts; Image Type value 3, PS3.3 C.7.6.1.1.2), and what was left out.

    Raises
    ------
    InvalidInput
        Nothing else is there.
    """
    kept = [frame for frame in frames if not _is_localizer(frame)]
    left_out = len(frames) - len(kept)
    if frames and not kept:
        raise InvalidInput("the series holds only localizer images (ImageType): send a series planned on it")
    return kept, ((f"{left_out} localizer images of the series were left out.",) if left_out else ())


def _of_image(image: Frame, maximum: int) -> list[Frame]:
    try:
        count = int(image.header("NumberOfFrames") or 1)
    except (TypeError, ValueError):
        count = 0
    if not count >= 1:
        raise InvalidInput(f"{image.name} has a NumberOfFrames that is no number of frames: correct it")
    if "NumberOfFrames" not in image.image:
        return [image]
    return [replace(image, index=index) for index in range(min(count, maximum + 1))]


def _is_localizer(frame: Frame) -> bool:
    kinds = frame.header("ImageType")
    return "LOCALIZER" in (kinds if isinstance(kinds, Sequence) and not isinstance(kinds, str) else [kinds])


def _check_count(image: Frame, keyword: str) -> None:
    value = image.header(keyword)
    if not isinstance(value, int) or value < 1:
        raise InvalidInput(f"{image.name} has no usable {keyword} ({value!r}): the model needs images")


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or value == []
