"""Result, source headers and masks → the DICOM objects that are stored, ready to send.

The order is SEG, then SR: the report refers to the segmentation. Rendering twice gives the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pydicom
import pydicom.config
from pydicom import Dataset

from consumers.defect import described
from consumers.dicom.report import report
from consumers.dicom.segmentation import Mask, segmentation
from consumers.dicom.source import prepare
from schemas.errors import InvalidMessage
from schemas.events import InferenceResult


@dataclass(frozen=True)
class RenderedObject:
    """One object as it goes over the wire; ``data`` is a DICOM file (PS3.10)."""

    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    data: bytes


def tolerate_source_values() -> None:
    """Copy values of the source as they are, even where they break a rule of their VR (an ID that is too long).

    Called once by the process that renders: refusing a patient's result for the modality's mistake helps nobody.
    """
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE


def render(
    result: InferenceResult, headers: Iterable[Dataset], masks: Sequence[Mask]
) -> tuple[RenderedObject, ...]:
    """Render all DICOM objects of a result.

    Parameters
    ----------
    result
        Outcome ``FINDINGS`` or ``NO_FINDINGS``.
    headers
        Headers of the source images, in any order.
    masks
        Boolean arrays (slices, rows, columns), in the order of the result's mask artifacts.

    Raises
    ------
    InvalidMessage
        Result, headers and masks contradict each other, or the headers lack what the objects need.
    """
    sources = prepare(result, headers)
    try:
        segments = segmentation(result, sources, masks)
        document = report(result, sources, segments)
        return tuple(_encode(dataset) for dataset in (segments, document) if dataset is not None)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidMessage(
            f"no DICOM object can be made of this result ({described(error)}): "
            "check the headers of the source images"
        ) from error


def _encode(dataset: Dataset) -> RenderedObject:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return RenderedObject(
        sop_class_uid=str(dataset.SOPClassUID),
        study_instance_uid=str(dataset.StudyInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        data=buffer.getvalue(),
    )
