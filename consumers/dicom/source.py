"""Headers of the source images → the same headers in mask order, complete, and in Unicode.

Patient and study attributes are copied from the first one into every object that we make, so it is decoded with
the character set of the source (ISO_IR 100, 144 and so on) and written as ISO_IR 192: Ґ and ґ do not exist in
ISO 8859-5.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pydicom import Dataset

from schemas.errors import InvalidMessage
from schemas.events import InferenceResult

UTF8: Final = "ISO_IR 192"

#: Type 2 attributes of the patient and study modules (PS3.3 C.7.1.1, C.7.2.1): present, though perhaps empty.
_TYPE_2: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)


def prepare(result: InferenceResult, headers: Iterable[Dataset]) -> list[Dataset]:
    """Headers of the images that a result is about, in the order of the mask's first axis.

    Only the first is rewritten: nothing but geometry and UIDs is read from the others.

    Parameters
    ----------
    result
        Names the images.
    headers
        Headers without pixel data, in any order; more than the needed ones do no harm. Not changed.

    Raises
    ------
    InvalidMessage
        A source image is not among the headers, or belongs to another study.
    """
    by_uid = {str(header.get("SOPInstanceUID", "")): header for header in headers}
    missing = [uid for uid in result.sop_instance_uids if uid not in by_uid]
    if missing or not result.sop_instance_uids:
        raise InvalidMessage(
            f"{len(missing)} of {len(result.sop_instance_uids)} source images of the result are not in the series "
            f"any more{f' (the first is {missing[0]})' if missing else ''}: "
            "send the study again and run the model on it"
        )
    ordered = [by_uid[uid] for uid in result.sop_instance_uids]
    ordered[0] = _unicode(ordered[0])
    if any(str(header.get("StudyInstanceUID")) != result.study_instance_uid for header in ordered):
        raise InvalidMessage("the source images belong to another study than the result: run the model again")
    return ordered


def image_of(sources: Mapping[str, Dataset], sop_instance_uid: str) -> Dataset:
    """Header of an image that a finding refers to.

    Parameters
    ----------
    sources
        SOP Instance UID → header.
    sop_instance_uid
        Of the image.

    Raises
    ------
    InvalidMessage
        It is not among the images of the result.
    """
    image = sources.get(sop_instance_uid)
    if image is None:
        raise InvalidMessage(
            f"a finding refers to the image {sop_instance_uid}, which is not among those of the result: "
            "send the study again and run the model on it"
        )
    return image


def check_slices(sources: Sequence[Dataset], slices: int) -> None:
    """Make sure that each slice of a mask has its image.

    Raises
    ------
    InvalidMessage
        The mask has another number of slices than the sources have frames.
    """
    frames = sum(int(source.get("NumberOfFrames") or 1) for source in sources)
    if frames != slices:
        raise InvalidMessage(
            f"the mask has {slices} slices but the source has {frames} images: run the model again"
        )


def _unicode(header: Dataset) -> Dataset:
    """Copy of a header whose texts are decoded and whose character set is UTF-8."""
    decoded = copy.deepcopy(header)
    decoded.pop("PixelData", None)
    with warnings.catch_warnings():
        # Bytes that do not belong to the declared character set become U+FFFD; pydicom warns, the result stays.
        warnings.simplefilter("ignore")
        _decode(decoded)
    decoded.SpecificCharacterSet = UTF8
    for keyword in _TYPE_2:
        if keyword not in decoded:
            setattr(decoded, keyword, "")
    return decoded


def _decode(dataset: Dataset) -> None:
    """Convert every element while the declared character set is still known.

    ``Dataset.decode`` would encode names that came as text (DICOM JSON) with the declared set, and lose them.
    """
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                _decode(item)
