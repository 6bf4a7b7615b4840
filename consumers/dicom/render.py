"""Result, its material and a destination's plan → the DICOM objects that are stored there, ready to send.

An object comes after those that it refers to: first the segmentation, last the key objects. Rendering twice gives
the same bytes.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import pydicom
import pydicom.config
from pydicom import Dataset

from consumers.defect import described
from consumers.dicom.capture import captures
from consumers.dicom.fractional import fractional
from consumers.dicom.keyobjects import key_objects
from consumers.dicom.material import Material
from consumers.dicom.parametric import parametric_maps
from consumers.dicom.plan import ObjectKind, Plan
from consumers.dicom.presentation import presentation_states
from consumers.dicom.prior import Prior
from consumers.dicom.report import report
from consumers.dicom.segmentation import segmentation
from producers.store.headers import is_uid
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
    result: InferenceResult, material: Material, plan: Plan, prior: Prior | None = None
) -> tuple[RenderedObject, ...]:
    """Render the DICOM objects that a destination wants of a result.

    Parameters
    ----------
    result
        Outcome ``FINDINGS`` or ``NO_FINDINGS``.
    material
        Source images and arrays of the result.
    plan
        Kinds of objects, and the language of their texts. Kinds that the result gives no reason for are left out.
    prior
        The report that an earlier revision of the study left at the destination; the new one says that it
        replaces it.

    Raises
    ------
    InvalidMessage
        Result and material contradict each other, or the headers lack what the objects need.
    """
    _check_uids(result)
    try:
        return tuple(_encode(dataset) for dataset in _objects(result, material, plan, prior))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InvalidMessage(
            f"no DICOM object can be made of this result ({described(error)}): "
            "check the headers of the source images"
        ) from error


def _check_uids(result: InferenceResult) -> None:
    """Make sure that UIDs of the result are UIDs; those of its images are compared with the images."""
    named = [("device UID of the model", result.model.device_uid)]
    for finding in result.findings:
        named += [("tracking UID of a finding", finding.tracking_uid)]
        named += [("series of a finding", finding.series_instance_uid)]
        named += [
            ("frame of reference of a location", place.frame_of_reference_uid or "0")
            for place in finding.locations
        ]
    for what, uid in named:
        if not is_uid(uid):
            raise InvalidMessage(
                f"the {what} is {uid[:100]!r}, which is no UID (PS3.5 9.1): correct what the worker writes, "
                "and run the model again"
            )


def _objects(result: InferenceResult, material: Material, plan: Plan, prior: Prior | None) -> list[Dataset]:
    kinds, language = plan.kinds, plan.language
    segments = segmentation(result, material) if ObjectKind.SEG in kinds else None
    built: list[Dataset | None] = [segments]
    if ObjectKind.FRACTIONAL in kinds:
        built.append(fractional(result, material))
    if ObjectKind.PM in kinds:
        built += parametric_maps(result, material)
    if ObjectKind.GSPS in kinds:
        built += presentation_states(result, material, language)
    if ObjectKind.SC in kinds:
        built += captures(result, material, language)
    built += [
        report(result, material, segments, kind, language, prior)
        for kind in (ObjectKind.SR, ObjectKind.SR_2D)
        if kind in kinds
    ]
    made = [dataset for dataset in built if dataset is not None]
    pointer = key_objects(result, material, made, language) if ObjectKind.KOS in kinds else None
    return made if pointer is None else [*made, pointer]


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
