"""Headers of images → how a grayscale presentation state says that their values are shown (PS3.3 C.11.1, C.11.8).

A presentation state without a window would show a CT nearly black: an image whose header has none gets the range
of its pixels, as viewers do.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Final

from pydicom import Dataset
from pydicom.sequence import Sequence as DicomSequence

from consumers.dicom.material import Material
from consumers.dicom.pictures import CannotShow, value_range
from consumers.dicom.planes import Frame
from producers.dicomweb.grayscale import rescale_of, window_of

_FUNCTIONS: Final = {"linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}


def modality_lut_key(frame: Frame) -> str:
    """Equal for frames whose stored values mean the same."""
    tables = frame.source.get("ModalityLUTSequence")
    return str(tables[0].to_json()) if tables else repr(rescale_of(frame.source, frame.number))


def add_modality_lut(dataset: Dataset, frame: Frame) -> None:
    """Modality LUT as the source has it; nothing where stored values are shown as they are."""
    tables = frame.source.get("ModalityLUTSequence")
    if tables:
        dataset.ModalityLUTSequence = copy.deepcopy(tables)
        return
    slope, intercept = rescale_of(frame.source, frame.number)
    if (slope, intercept) != (1.0, 0.0):
        dataset.RescaleSlope, dataset.RescaleIntercept = f"{slope:.9g}", f"{intercept:.9g}"
        dataset.RescaleType = str(frame.source.get("RescaleType") or "US")


def add_windows(dataset: Dataset, material: Material, shown: Iterable[Frame]) -> None:
    """Softcopy VOI LUT: each image keeps the window that its modality gave it."""
    items: dict[str, Dataset] = {}
    images: dict[str, list[Dataset]] = {}
    without = False
    for frame in shown:
        item = _transformation(frame, material)
        if item is None:
            without = True
            continue
        key = item.to_json()
        items[key] = item
        images.setdefault(key, []).append(_reference(frame))
    if without or len(items) > 1:
        for key, item in items.items():
            item.ReferencedImageSequence = DicomSequence(_merged(images[key]))
    if items:
        dataset.SoftcopyVOILUTSequence = DicomSequence(items.values())


def _transformation(frame: Frame, material: Material) -> Dataset | None:
    item = Dataset()
    window = window_of(frame.source, frame.number)
    tables = frame.source.get("VOILUTSequence")
    if window is not None:
        item.WindowCenter, item.WindowWidth = f"{window.center:.9g}", f"{window.width:.9g}"
        if window.shape in _FUNCTIONS:
            item.VOILUTFunction = _FUNCTIONS[window.shape]
    elif tables:
        item.VOILUTSequence = copy.deepcopy(tables)
    else:
        try:
            low, high = value_range(material.image(frame.sop_instance_uid), frame.number)
        except CannotShow:
            return None
        item.WindowCenter, item.WindowWidth = f"{(low + high) / 2:.9g}", f"{(high - low) or 1.0:.9g}"
        item.VOILUTFunction = "LINEAR_EXACT"
    return item


def _reference(frame: Frame) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = frame.source.SOPClassUID
    item.ReferencedSOPInstanceUID = frame.source.SOPInstanceUID
    if "NumberOfFrames" in frame.source:
        item.ReferencedFrameNumber = frame.number
    return item


def _merged(references: Iterable[Dataset]) -> Iterable[Dataset]:
    """One item for each image, with all of its frames."""
    merged: dict[str, Dataset] = {}
    for item in references:
        known = merged.setdefault(str(item.ReferencedSOPInstanceUID), item)
        if known is not item:
            known.ReferencedFrameNumber = [*_frames(known), item.ReferencedFrameNumber]
    return merged.values()


def _frames(item: Dataset) -> list[int]:
    numbers = item.ReferencedFrameNumber
    return [numbers] if isinstance(numbers, int) else list(numbers)
