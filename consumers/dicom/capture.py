"""A result → Secondary Capture images (PS3.3 A.8.1): a summary page, and the images that show its findings best.

For a PACS that knows images and nothing else: what is said is burned into the pixels, and nothing about the
patient is. A key image whose pixels cannot be decoded is left out, and the summary says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import highdicom as hd
import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from consumers.dicom import equipment
from consumers.dicom.capture_key import directions, key_image
from consumers.dicom.capture_page import summary_page
from consumers.dicom.identity import identity
from consumers.dicom.key_frames import MOST_KEY_IMAGES, best_frames, by_urgency
from consumers.dicom.marks import Mark, marks_of
from consumers.dicom.material import Material
from consumers.dicom.pictures import CannotShow, picture
from consumers.dicom.plan import ObjectKind
from consumers.dicom.planes import Frame, frames_of
from consumers.dicom.texts import long_string, short_text
from schemas.events import InferenceResult
from schemas.ids import dicom_uid
from schemas.terminology import Language, Phrase, phrase

SERIES_NUMBER: Final = 9006


@dataclass(frozen=True)
class _Capture:
    """One image to be: what is burned in, of which source images, seen from where."""

    pixels: npt.NDArray[np.uint8]
    title: str
    shown: Sequence[Frame]
    directions: tuple[str, str] = ("", "")


def captures(result: InferenceResult, material: Material, language: Language) -> list[Dataset]:
    """Build the Secondary Capture images of a result, in one series, the summary first.

    Parameters
    ----------
    result
        Outcome ``FINDINGS`` or ``NO_FINDINGS``.
    material
        Prepared sources and masks; the pixels of at most eight source images are asked for.
    language
        Of the texts.

    Raises
    ------
    ScanstreamError
        What asking for pixels raises, except that they cannot be decoded.
    """
    frames = frames_of(material.sources)
    marks = marks_of(result, material)
    best = best_frames(result, frames, marks)
    chosen = list(dict.fromkeys(best.values()))[:MOST_KEY_IMAGES]
    where = {index: _where(frames, index, language) for index in set(best.values())}
    keys = list(_key_images(result, material, frames, marks, best, chosen, where, language))
    left_out = len(chosen) - len(keys)
    notes = [phrase(Phrase.KEY_IMAGES_LEFT_OUT, language, count=left_out)] if left_out else []
    images = {number: where[index] for number, index in best.items()}
    page = _Capture(
        summary_page(result, material.sources[0], images, notes, language),
        phrase(Phrase.SUMMARY_IMAGE_TITLE, language),
        frames,
    )
    return [
        _dataset(capture, result, material, language, number)
        for number, capture in enumerate([page, *keys], start=1)
    ]


def _where(frames: Sequence[Frame], index: int, language: Language) -> str:
    """Which image of the series a frame is, by the number that a viewer shows."""
    count = len(frames)
    try:
        number = int(frames[index].source.InstanceNumber)
    except (AttributeError, TypeError, ValueError):
        number = 0
    if "NumberOfFrames" in frames[index].source or not 1 <= number <= count:
        number = index + 1
    return phrase(Phrase.IMAGE_NUMBER, language, number=number, count=count)


def _key_images(
    result: InferenceResult,
    material: Material,
    frames: Sequence[Frame],
    marks: Mapping[int, Sequence[Mark]],
    best: Mapping[int, int],
    chosen: Iterable[int],
    where: Mapping[int, str],
    language: Language,
) -> Iterator[_Capture]:
    for index in chosen:
        frame = frames[index]
        on_it = marks.get(index, [])
        drawn = {mark.number for mark in on_it}
        cited = [item for item in by_urgency(result) if item[0] in drawn or best.get(item[0]) == index]
        try:
            pixels = picture(material.image(frame.sop_instance_uid), frame.number)
        except CannotShow:
            continue
        yield _Capture(
            key_image(frame, pixels, on_it, cited, where[index], language),
            phrase(Phrase.KEY_IMAGE_TITLE, language),
            [frame],
            directions(frame),
        )


def _dataset(
    capture: _Capture, result: InferenceResult, material: Material, language: Language, number: int
) -> Dataset:
    source = material.sources[0]
    made = identity(result, ObjectKind.SC, source, language, number=number)
    # what is burned in depends on the codecs of this machine, too: other pixels are another object
    digest = hashlib.sha256(capture.pixels.tobytes()).hexdigest()
    named = equipment.general_equipment(result.model)
    dataset = hd.sc.SCImage.from_ref_dataset(
        ref_dataset=source,
        pixel_array=capture.pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        series_instance_uid=made.series_instance_uid,
        series_number=SERIES_NUMBER,
        sop_instance_uid=dicom_uid("sc-pixels", made.sop_instance_uid, digest),
        instance_number=number,
        manufacturer=named["manufacturer"],
        patient_orientation=("L", "P"),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        contributing_equipment=[equipment.contributing_equipment(result, made)],
    )
    equipment.finish(dataset, made)
    dataset["DateOfSecondaryCapture"].value, dataset["TimeOfSecondaryCapture"].value = made.date, made.time
    dataset["PatientOrientation"].value = list(capture.directions) if all(capture.directions) else None
    dataset.add_new("Laterality", "CS", source.get("Laterality"))  # type 2C: empty where it is not known
    dataset.ManufacturerModelName = named["manufacturer_model_name"]
    dataset.SoftwareVersions = named["software_versions"]
    dataset.DeviceSerialNumber = named["device_serial_number"]
    dataset.SeriesDescription = long_string(f"{phrase(Phrase.REPORT_TITLE, language)} {result.model.name}")
    dataset.BurnedInAnnotation = "YES"
    dataset.ConversionType = "WSD"  # made on a workstation, neither digitised nor synthetic (PS3.3 C.8.6.1.1)
    dataset.ImageComments = long_string(capture.title)
    dataset.DerivationDescription = short_text(capture.title)
    dataset.SourceImageSequence = DicomSequence(_source_items(capture.shown))
    dataset.ReferencedSeriesSequence = DicomSequence(_series_items(capture.shown))
    return dataset


def _source_items(frames: Sequence[Frame]) -> Iterator[Dataset]:
    """Items of Source Image Sequence (PS3.3 C.12.4.1.2); no frame number says all frames of an image."""
    for frame in {frame.sop_instance_uid: frame for frame in frames}.values():
        item = _instance_item(frame)
        if "NumberOfFrames" in frame.source and len(frames) == 1:
            item.ReferencedFrameNumber = frame.number
        purpose = hd.sr.CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)
        item.PurposeOfReferenceCodeSequence = DicomSequence([purpose])
        yield item


def _series_items(frames: Iterable[Frame]) -> Iterator[Dataset]:
    """Items of Referenced Series Sequence (PS3.3 C.12.2)."""
    by_series: dict[str, dict[str, Dataset]] = {}
    for frame in frames:
        instances = by_series.setdefault(str(frame.source.SeriesInstanceUID), {})
        instances.setdefault(frame.sop_instance_uid, _instance_item(frame))
    for uid, instances in by_series.items():
        item = Dataset()
        item.SeriesInstanceUID = uid
        item.ReferencedInstanceSequence = DicomSequence(instances.values())
        yield item


def _instance_item(frame: Frame) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = frame.source.SOPClassUID
    item.ReferencedSOPInstanceUID = frame.source.SOPInstanceUID
    return item
