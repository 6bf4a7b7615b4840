"""Masks of a result → one binary Segmentation (PS3.3 A.51) in the geometry of the source images.

One segment per mask, numbered in the order of the result's artifacts; frames without a voxel are left out.
"""

from __future__ import annotations

import highdicom as hd
import numpy as np
from pydicom import Dataset

from consumers.dicom import concepts, equipment
from consumers.dicom.identity import identity
from consumers.dicom.material import Material
from consumers.dicom.source import check_slices
from schemas.errors import InvalidMessage
from schemas.events import Finding, InferenceResult
from schemas.ids import dicom_uid

SERIES_NUMBER = 9001


def segmentation(result: InferenceResult, material: Material) -> Dataset | None:
    """Build the Segmentation object of a result.

    Parameters
    ----------
    result
        Its findings describe the segments by ``segment_number``.
    material
        Prepared sources and one mask per segment.

    Returns
    -------
    Dataset or None
        ``None`` where there is nothing to show: no mask, or every mask empty.

    Raises
    ------
    InvalidMessage
        Masks, findings and source images contradict each other.
    """
    sources, masks = material.sources, material.masks
    described = {finding.segment_number: finding for finding in result.findings if finding.segment_number}
    shown = [(number, mask) for number, mask in enumerate(masks, start=1) if mask.any()]
    if not shown:
        return None
    if len(shown) != len(masks) or any(number not in described for number, _ in shown):
        raise InvalidMessage(
            f"the result has {len(masks)} masks, {len(shown)} of them with voxels, and findings for the segments "
            f"{sorted(described)}: each mask needs one finding, run the model again"
        )
    for _, mask in shown:
        check_slices(sources, mask.shape[0])
        if mask.shape[1:] != (int(sources[0].Rows), int(sources[0].Columns)):
            raise InvalidMessage(
                f"the mask is {mask.shape[2]} x {mask.shape[1]} and the image "
                f"{sources[0].Columns} x {sources[0].Rows}: run the model again"
            )
    made = identity(result, "seg", sources[0])
    stacked = np.stack([mask for _, mask in shown], axis=-1) if len(shown) > 1 else shown[0][1]
    dataset = hd.seg.Segmentation(
        source_images=list(sources),
        pixel_array=stacked.view(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_describe(number, described[number], result) for number, _ in shown],
        series_instance_uid=made.series_instance_uid,
        series_number=SERIES_NUMBER,
        sop_instance_uid=made.sop_instance_uid,
        instance_number=1,
        omit_empty_frames=True,
        content_label="SEGMENTATION",
        series_description=f"{result.model.name} {result.model.version}"[:64],
        contributing_equipment=[equipment.contributing_equipment(result, made)],
        **equipment.general_equipment(result.model),
    )
    equipment.finish(dataset, made)
    _fix_dimension_organization(dataset)
    return dataset


def _describe(number: int, finding: Finding, result: InferenceResult) -> hd.seg.SegmentDescription:
    category, kind = concepts.segmented_property(finding)
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=kind.meaning[:64],
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=equipment.algorithm_sequence(result.model),
        tracking_uid=finding.tracking_uid,
        tracking_id=finding.tracking_id[:64],
        anatomic_regions=None if finding.site is None else [concepts.concept(finding.site)],
    )


def _fix_dimension_organization(dataset: Dataset) -> None:
    """Replace highdicom's random Dimension Organization UID (0020,9164) by one that follows from the object's."""
    uid = dicom_uid("dimension-organization", str(dataset.SOPInstanceUID))
    for sequence in (dataset.DimensionIndexSequence, dataset.DimensionOrganizationSequence):
        for item in sequence:
            item.DimensionOrganizationUID = uid
