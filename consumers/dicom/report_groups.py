"""One finding → its measurement groups in a report (PS3.16 TID 1410, 1411, 1501), tied by one tracking UID.

The first group says everything about the finding; each further one only where it is, too. With a segment the first
is a volumetric group (TID 1411) that refers to it; each region on an image or in the patient is a planar group
(TID 1410), also beside a segment; a finding without any place is a group of TID 1501.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import highdicom as hd
from pydicom import Dataset
from pydicom.sequence import Sequence as DicomSequence

from consumers.dicom import concepts
from consumers.dicom.material import Material
from consumers.dicom.report_regions import coordinates, in_space, mask_of, planar_regions, regions_in_space
from consumers.dicom.source import image_of
from consumers.dicom.texts import long_string, unlimited_text
from schemas.events import Finding, Measurement
from schemas.terminology import Language, Phrase, phrase


@dataclass(frozen=True)
class Surroundings:
    """What the groups of all findings of a report share.

    Attributes
    ----------
    material
        Sources and masks of the result.
    images
        SOP Instance UID → header, of the sources.
    segments
        The SEG object, if there is one.
    in_space
        Whether the SOP class takes three-dimensional coordinates.
    language
        Of comments.
    """

    material: Material
    images: Mapping[str, Dataset]
    segments: Dataset | None
    in_space: bool
    language: Language


def groups(finding: Finding, around: Surroundings) -> list[Any]:
    """Measurement groups of a finding; the first one holds its numbers, properties, evidence and comments.

    Raises
    ------
    InvalidMessage
        The finding refers to an image that the result does not have, or gives no coordinates where it should.
    """
    made: list[Any] = []
    regions = planar_regions(finding, around.material, around.images)
    if around.in_space:
        regions += regions_in_space(finding, around.material)
    has_segment = around.segments is not None and mask_of(finding, around.material) is not None
    said: dict[str, Any] = {
        "measurements": _measurements(finding, on_segment=has_segment),
        "qualitative_evaluations": _evaluations(finding),
    }
    if has_segment and around.segments is not None and finding.segment_number is not None:
        reference = hd.sr.ReferencedSegment(
            sop_class_uid=around.segments.SOPClassUID,
            sop_instance_uid=around.segments.SOPInstanceUID,
            segment_number=finding.segment_number,
            source_series=hd.sr.SourceSeriesForSegmentation(finding.series_instance_uid),
        )
        made.append(
            hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
                **_context(finding), **said, referenced_segment=reference
            )
        )
    for region in regions:
        made.append(
            hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                **_context(finding), **({} if made else said), referenced_region=region
            )
        )
    if not made:
        made.append(hd.sr.MeasurementsAndQualitativeEvaluations(**_context(finding), **said))
    first = made[0][0].ContentSequence
    first.extend(cited([image_of(around.images, uid) for uid in finding.evidence]))
    first.extend(comment(text) for text in _comments(finding, around))
    return made


def measurement(item: Measurement, *, on_segment: bool = False) -> Any:
    """One number (PS3.16 TID 300); a volume over a segment also says how it was found (CID 7474).

    What is not a finite number is said by a qualifier (CID 42) in place of the value.
    """
    is_volume = (item.code.value, item.code.scheme) == (concepts.VOLUME.value, concepts.VOLUME.scheme_designator)
    method = None if item.method is None else concepts.concept(item.method)
    if method is None and is_volume and on_segment:
        method = concepts.SUM_OF_SEGMENTED_VOXELS
    return _number(concepts.concept(item.code), item.value, concepts.concept(item.unit), method)


def _number(name: Any, value: float, unit: Any, method: Any = None) -> Any:
    finite = math.isfinite(value)
    made = hd.sr.Measurement(
        name=name,
        value=value if finite else 0.0,
        unit=unit,
        method=method,
        qualifier=None if finite else concepts.NOT_A_NUMBER,
    )
    if not finite:
        made[0].MeasuredValueSequence = DicomSequence()
    return made


def cited(images: Sequence[Dataset]) -> list[Any]:
    """References to images that a group is about."""
    return [hd.sr.SourceImageForMeasurementGroup(item.SOPClassUID, item.SOPInstanceUID) for item in images]


def comment(text: str) -> Any:
    """A text for people beside what is coded."""
    return hd.sr.TextContentItem(
        concepts.COMMENT, unlimited_text(text, "-"), hd.sr.RelationshipTypeValues.CONTAINS
    )


def _context(finding: Finding) -> dict[str, Any]:
    """What each group of a finding repeats."""
    side = None if finding.laterality is None else concepts.SIDES[finding.laterality]
    label = long_string(finding.tracking_id, "finding")
    return {
        "tracking_identifier": hd.sr.TrackingIdentifier(finding.tracking_uid, label),
        "finding_type": concepts.concept(finding.code),
        "finding_sites": None
        if finding.site is None
        else [hd.sr.FindingSite(concepts.concept(finding.site), laterality=side)],
    }


def _measurements(finding: Finding, *, on_segment: bool) -> list[Any]:
    found = [measurement(item, on_segment=on_segment) for item in finding.measurements]
    if finding.probability is not None:
        percent = round(100 * finding.probability, 3)
        found.append(_number(concepts.CERTAINTY_OF_FINDING, percent, concepts.PERCENT))
    return found


def _evaluations(finding: Finding) -> list[Any]:
    found = [hd.sr.QualitativeEvaluation(concepts.CATEGORY, concepts.category(finding))]
    if finding.laterality is not None and finding.site is None:
        found.append(hd.sr.QualitativeEvaluation(concepts.LATERALITY, concepts.SIDES[finding.laterality]))
    return found + [
        hd.sr.QualitativeEvaluation(concepts.concept(item.name), concepts.concept(item.value))
        for item in finding.characteristics
    ]


def _comments(finding: Finding, around: Surroundings) -> list[str]:
    said = [phrase(Phrase.WARNING, around.language, text=text) for text in finding.warnings]
    if not around.in_space:
        for location in in_space(finding):
            centre = coordinates(location).mean(axis=0)
            position = " / ".join(f"{value:.1f}" for value in centre)
            said.append(phrase(Phrase.LOCATION_IN_PATIENT, around.language, position=position))
    return said
