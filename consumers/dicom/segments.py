"""What Segmentations and Parametric Maps share: which finding describes a segment, and what fits the sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import highdicom as hd
import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.sequence import Sequence as DicomSequence

from consumers.dicom import concepts, equipment
from consumers.dicom.planes import frames_of
from consumers.dicom.source import check_slices
from consumers.dicom.texts import long_string
from schemas.errors import InvalidMessage
from schemas.events import Finding, InferenceResult
from schemas.ids import dicom_uid


def findings_by_segment(result: InferenceResult) -> dict[int, Finding]:
    """Finding of each segment number."""
    return {finding.segment_number: finding for finding in result.findings if finding.segment_number}


def check_volume(sources: Sequence[Dataset], volume: npt.NDArray[np.generic]) -> None:
    """Make sure that an array lies on the voxels of the source images.

    Raises
    ------
    InvalidMessage
        It has other slices, rows or columns.
    """
    check_slices(sources, volume.shape[0])
    if volume.shape[1:] != (int(sources[0].Rows), int(sources[0].Columns)):
        raise InvalidMessage(
            f"the mask is {volume.shape[2]} x {volume.shape[1]} and the image "
            f"{sources[0].Columns} x {sources[0].Rows}: run the model again"
        )


def description(number: int, finding: Finding, result: InferenceResult) -> Any:
    """Item of the Segment Sequence (PS3.3 C.8.20.2) for a finding."""
    category, kind = concepts.segmented_property(finding)
    item = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=long_string(kind.meaning, "segment"),
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=equipment.algorithm_sequence(result.model),
        tracking_uid=finding.tracking_uid,
        tracking_id=long_string(finding.tracking_id, "finding"),
        anatomic_regions=None if finding.site is None else [concepts.concept(finding.site)],
    )
    if finding.site is not None and finding.laterality is not None:
        side = hd.sr.CodedConcept.from_code(concepts.SIDES[finding.laterality])
        item.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = DicomSequence([side])
    return item


def have_geometry(sources: Sequence[Dataset]) -> bool:
    """Whether a Segmentation can say where its frames lie: one image can, several need a common space.

    Without a Frame of Reference (ultrasound loops, several radiographs) a plane has no position in the patient,
    and a Segmentation of more than one frame could not tell them apart.
    """
    return bool(sources[0].get("FrameOfReferenceUID")) or len(frames_of(sources)) == 1


def complete(dataset: Dataset, source: Dataset) -> None:
    """Replace highdicom's random Dimension Organization UID (0020,9164), and say how a flat image is oriented.

    The new one follows from the object's UID, so that two renderings are equal.
    """
    uid = dicom_uid("dimension-organization", str(dataset.SOPInstanceUID))
    for sequence in (dataset.get("DimensionIndexSequence"), dataset.get("DimensionOrganizationSequence")):
        for item in sequence or ():
            item.DimensionOrganizationUID = uid
    if "FrameOfReferenceUID" not in dataset:
        dataset.add_new("PatientOrientation", "CS", source.get("PatientOrientation"))
