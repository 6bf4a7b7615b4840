"""Masks of a result → one binary Segmentation (PS3.3 A.51) in the geometry of the source images.

One segment per mask, numbered in the order of the result's artifacts; frames without a voxel are left out, so the
segment of an empty mask is described and has no frames.
"""

from __future__ import annotations

import highdicom as hd
import numpy as np
from pydicom import Dataset

from consumers.dicom import equipment
from consumers.dicom.identity import identity
from consumers.dicom.material import Material
from consumers.dicom.plan import ObjectKind
from consumers.dicom.segments import check_volume, complete, description, findings_by_segment, have_geometry
from consumers.dicom.texts import long_string
from schemas.errors import InvalidMessage
from schemas.events import InferenceResult

SERIES_NUMBER = 9001


def segmentation(result: InferenceResult, material: Material) -> Dataset | None:
    """Build the binary Segmentation object of a result.

    Parameters
    ----------
    result
        Its findings describe the segments by ``segment_number``.
    material
        Prepared sources and one mask per segment.

    Returns
    -------
    Dataset or None
        ``None`` where there is nothing to show (no mask, or every mask empty), or nowhere to show it: several
        frames without a Frame of Reference.

    Raises
    ------
    InvalidMessage
        Masks, findings and source images contradict each other.
    """
    sources, masks = material.sources, material.masks
    filled = sum(bool(mask.any()) for mask in masks)
    if not filled:
        return None
    described = findings_by_segment(result)
    numbers = range(1, len(masks) + 1)
    if any(number not in described for number in numbers):
        raise InvalidMessage(
            f"the result has {len(masks)} masks, {filled} of them with voxels, and findings for the segments "
            f"{sorted(described)}: each mask needs one finding, run the model again"
        )
    for mask in masks:
        check_volume(sources, mask)
    if not have_geometry(sources):
        return None
    made = identity(result, ObjectKind.SEG, sources[0])
    stacked = np.stack(masks, axis=-1) if len(masks) > 1 else masks[0]
    dataset = hd.seg.Segmentation(
        source_images=list(sources),
        pixel_array=stacked.view(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[description(number, described[number], result) for number in numbers],
        series_instance_uid=made.series_instance_uid,
        series_number=SERIES_NUMBER,
        sop_instance_uid=made.sop_instance_uid,
        instance_number=1,
        omit_empty_frames=True,
        content_label="SEGMENTATION",
        series_description=long_string(f"{result.model.name} {result.model.version}"),
        contributing_equipment=[equipment.contributing_equipment(result, made)],
        **equipment.general_equipment(result.model),
    )
    equipment.finish(dataset, made)
    complete(dataset, sources[0])
    return dataset
