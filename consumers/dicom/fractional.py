"""Probabilities of a result → one fractional Segmentation (PS3.3 A.51) in the geometry of the source images.

A voxel holds 0…255 for a probability of 0…1. Segments without any are left out and the others numbered anew from
1, as PS3.3 C.8.20.2 asks; the Tracking UID tells which segment of the binary Segmentation a segment belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import highdicom as hd
import numpy as np
from pydicom import Dataset

from consumers.dicom import equipment
from consumers.dicom.identity import identity
from consumers.dicom.material import Material, Volume32
from consumers.dicom.plan import ObjectKind
from consumers.dicom.segments import check_volume, complete, description, findings_by_segment, have_geometry
from consumers.dicom.texts import long_string
from schemas.errors import InvalidMessage
from schemas.events import InferenceResult

SERIES_NUMBER: Final = 9003

_STEPS: Final = 255


def fractional(result: InferenceResult, material: Material) -> Dataset | None:
    """Build the fractional Segmentation object of a result.

    Parameters
    ----------
    result
        Its findings describe the segments by ``segment_number``.
    material
        Prepared sources and the probabilities of the segments, numbered from 1.

    Returns
    -------
    Dataset or None
        ``None`` where no voxel has a probability of at least half a step (1/510), or where several frames have
        no Frame of Reference.

    Raises
    ------
    InvalidMessage
        Probabilities, findings and source images contradict each other, or a number is not a probability.
    """
    sources = material.sources
    for volume in material.probabilities:
        check_volume(sources, volume)
        if not (volume.min() >= 0 and volume.max() <= 1):  # no temporary arrays; false for numbers that are none
            raise InvalidMessage("a probability lies outside 0…1: run the model again")
    shown = [
        (number, volume)
        for number, volume in enumerate(material.probabilities, start=1)
        if np.rint(volume.max() * np.float32(_STEPS)) > 0
    ]
    if not shown:
        return None
    described = findings_by_segment(result)
    unknown = [number for number, _ in shown if number not in described]
    if unknown:
        raise InvalidMessage(
            f"the result has probabilities of the segments {unknown} and no finding that describes them: "
            "run the model again"
        )
    if not have_geometry(sources):
        return None
    made = identity(result, ObjectKind.FRACTIONAL, sources[0])
    dataset = hd.seg.Segmentation(
        source_images=list(sources),
        pixel_array=_in_steps([volume for _, volume in shown]),
        segmentation_type=hd.seg.SegmentationTypeValues.FRACTIONAL,
        fractional_type=hd.seg.SegmentationFractionalTypeValues.PROBABILITY,
        max_fractional_value=_STEPS,
        segment_descriptions=[
            description(place, described[number], result) for place, (number, _) in enumerate(shown, start=1)
        ],
        series_instance_uid=made.series_instance_uid,
        series_number=SERIES_NUMBER,
        sop_instance_uid=made.sop_instance_uid,
        instance_number=1,
        omit_empty_frames=True,
        content_label="PROBABILITY",
        series_description=long_string(f"{result.model.name} {result.model.version} probability"),
        contributing_equipment=[equipment.contributing_equipment(result, made)],
        **equipment.general_equipment(result.model),
    )
    equipment.finish(dataset, made)
    complete(dataset, sources[0])
    return dataset


def _in_steps(volumes: Sequence[Volume32]) -> Volume32:
    """(slices, rows, columns, segments) of whole steps, in one array: a large CT has 600 MB of probabilities.

    highdicom asks of every value whether a frame is empty: what becomes 0 must be 0 before.
    """
    stacked: Volume32 = np.empty((*volumes[0].shape, len(volumes)), np.float32)
    for place, volume in enumerate(volumes):
        np.multiply(volume, np.float32(_STEPS), out=stacked[..., place])
    np.rint(stacked, out=stacked)
    stacked /= np.float32(_STEPS)
    return stacked
