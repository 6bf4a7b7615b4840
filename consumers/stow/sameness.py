"""Two data sets with one SOP Instance UID → whether they are one object, told without any value of them. Pure.

A PACS gives an object back with other bytes and the same content: in another transfer syntax, with another
character set, with empty attributes left out, with patient and study as the archive knows them (PS3.4 B.4.1.3).
What it may change so is not compared:

* file meta information (group 0002), group lengths, private elements, padding;
* patient, study and order attributes, which an archive reconciles, and its note of that (0400,0561);
* what it adds about its own storage;
* when the object was made: a second run of a model that says the same makes the same object at another time.

Everything else must be equal, element by element and item by item.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from pydicom import DataElement, Dataset, dcmread
from pydicom.datadict import keyword_for_tag
from pydicom.multival import MultiValue
from pydicom.pixels.utils import pixel_array
from pydicom.tag import BaseTag

#: Reconciled by an archive (PS3.4 B.4.1.3), or by the department's order.
_RECONCILED: Final = frozenset(
    {
        "AccessionNumber",
        "AdmissionID",
        "AdmittingDiagnosesDescription",
        "EthnicGroup",
        "InstanceCoercionDateTime",
        "InstitutionName",
        "IssuerOfAccessionNumberSequence",
        "IssuerOfPatientID",
        "IssuerOfPatientIDQualifiersSequence",
        "OriginalAttributesSequence",
        "OtherPatientIDs",
        "OtherPatientIDsSequence",
        "OtherPatientNames",
        "PatientAge",
        "PatientBirthDate",
        "PatientBirthTime",
        "PatientComments",
        "PatientID",
        "PatientName",
        "PatientSex",
        "PatientSize",
        "PatientWeight",
        "ReferringPhysicianName",
        "RequestAttributesSequence",
        "StudyDate",
        "StudyDescription",
        "StudyID",
        "StudyTime",
    }
)

#: About storage, not about the object.
_STORAGE: Final = frozenset(
    {
        "AvailableTransferSyntaxUID",
        "DataSetTrailingPadding",
        "InstanceAvailability",
        "RetrieveAETitle",
        "RetrieveURL",
        "SpecificCharacterSet",
        "StorageMediaFileSetID",
        "StorageMediaFileSetUID",
    }
)

#: Times of the run, at any depth.
_WHEN: Final = frozenset(
    {
        "ContentDate",
        "ContentTime",
        "ContributionDateTime",
        "DateOfSecondaryCapture",
        "InstanceCreationDate",
        "InstanceCreationTime",
        "ObservationDateTime",
        "PresentationCreationDate",
        "PresentationCreationTime",
        "SeriesDate",
        "SeriesTime",
        "TimeOfSecondaryCapture",
        "TimezoneOffsetFromUTC",
    }
)

_PIXELS: Final = frozenset({"PixelData", "FloatPixelData", "DoubleFloatPixelData"})
_NUMBERS: Final = frozenset({"DS", "IS", "FL", "FD", "SL", "SS", "SV", "UL", "US", "UV"})


def differs_at(ours: bytes, theirs: Dataset) -> str | None:
    """First place where another data set is not our object, or ``None`` when it is.

    Parameters
    ----------
    ours
        DICOM file (PS3.10), as it was sent.
    theirs
        Data set of the same SOP Instance UID, with file meta information.

    Returns
    -------
    str or None
        Path of keywords and item numbers, such as ``ContentSequence[2].NumericValue``; never a value.
    """
    sent = dcmread(io.BytesIO(ours))
    return next(_differences(sent, theirs, ""), None) or _pixels_differ(sent, theirs)


def _differences(ours: Dataset, theirs: Dataset, path: str) -> Iterator[str]:
    for tag in sorted({*ours.keys(), *theirs.keys()}):
        keyword = _compared(tag, is_top=not path)
        if keyword is None:
            continue
        try:
            here, there = _element(ours, tag), _element(theirs, tag)
            is_sequence = "SQ" in (here and here.VR, there and there.VR)
            is_same = here is there or (here is not None and there is not None and _values(here) == _values(there))
        except Exception:  # noqa: BLE001 - whatever pydicom says of a broken value: it is not shown to be ours
            yield path + keyword
            continue
        if is_sequence and here is not None and there is not None:
            yield from _items_differ(here, there, path + keyword)
        elif not is_same:
            yield path + keyword


def _items_differ(here: DataElement, there: DataElement, path: str) -> Iterator[str]:
    if here.VR != there.VR or len(here.value) != len(there.value):
        yield path
        return
    for number, (one, other) in enumerate(zip(here.value, there.value, strict=True), start=1):
        yield from _differences(one, other, f"{path}[{number}].")


def _compared(tag: BaseTag, *, is_top: bool) -> str | None:
    """Keyword of an element that is compared, else ``None``."""
    if tag.is_private or tag.element == 0 or tag.group == 0x0002:
        return None
    keyword = keyword_for_tag(tag) or str(tag)
    if keyword in _WHEN or keyword in _STORAGE or (is_top and keyword in _RECONCILED | _PIXELS):
        return None
    return keyword


def _element(dataset: Dataset, tag: BaseTag) -> DataElement | None:
    """Element with a value; an empty one says no more than one that is not there."""
    if tag not in dataset:
        return None
    element = dataset[tag]
    return None if element.is_empty else element


def _values(element: DataElement) -> list[Any]:
    value = element.value
    if element.VR == "SQ":
        return [len(value)]
    several = list(value) if isinstance(value, MultiValue | list | tuple) else [value]
    if element.VR in _NUMBERS:
        return [float(item) for item in several]
    if isinstance(value, bytes):
        return [value.removesuffix(b"\0")]
    return [str(item).strip() for item in several]


def _pixels_differ(ours: Dataset, theirs: Dataset) -> str | None:
    keyword = next((name for name in sorted(_PIXELS) if name in ours), None)
    other = next((name for name in sorted(_PIXELS) if name in theirs), None)
    if keyword != other:
        return keyword or other
    if keyword is None or _as_bytes(ours[keyword]) == _as_bytes(theirs[keyword]):
        return None
    if _syntax(ours) == _syntax(theirs):
        return keyword
    try:
        is_same = np.array_equal(pixel_array(ours), pixel_array(theirs))
    except Exception:  # noqa: BLE001 - whatever a decoder says: pixels that cannot be decoded are not shown to be ours
        return keyword
    return None if is_same else keyword


def _as_bytes(element: DataElement) -> bytes:
    value = element.value
    return value.removesuffix(b"\0") if isinstance(value, bytes) else bytes(value)


def _syntax(dataset: Dataset) -> str:
    return str(dataset.file_meta.get("TransferSyntaxUID", ""))
