"""Findings of a result → a structured report (PS3.16 TID 1500, "Imaging Measurement Report").

The SOP class is Comprehensive 3D SR, the one that IHE AIR lists for results. A finding with a segment becomes a
volumetric ROI group (TID 1411) that refers to the SEG; one without becomes a measurement group (TID 1501) over the
source images; a run that found nothing says so in a group of its own ("Finding: Absent"), which is not the same as
no report.
The report is complete, preliminary and unverified: only a person verifies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import highdicom as hd
from pydicom import Dataset

from consumers.dicom import concepts, equipment
from consumers.dicom.identity import identity
from consumers.dicom.material import Material
from consumers.dicom.plan import ObjectKind
from consumers.dicom.prior import Prior, predecessors
from schemas.events import Finding, InferenceResult, Measurement
from schemas.ids import dicom_uid
from schemas.terminology import Language

SERIES_NUMBER = 9002


def report(
    result: InferenceResult,
    material: Material,
    segments: Dataset | None,
    kind: ObjectKind,
    language: Language,
    prior: Prior | None,
) -> Dataset:
    """Build the structured report of a result.

    Parameters
    ----------
    result
        What to say.
    material
        Its source images are all listed as evidence (0040,A375).
    segments
        The SEG object that findings with a segment number refer to, if there is one.
    kind
        ``SR`` (Comprehensive 3D SR) or ``SR_2D`` (Comprehensive SR).
    language
        Of the texts.
    prior
        The report that this one replaces.
    """
    sources, segmentation = material.sources, segments
    made = identity(result, kind, sources[0], language, prior)
    groups = [_group(finding, result, sources, segmentation) for finding in result.findings]
    content = hd.sr.MeasurementReport(
        observation_context=equipment.observer(result.model),
        procedure_reported=_procedure(sources[0]),
        imaging_measurements=groups or [_nothing_found(result, sources)],
    )
    sop_class = hd.sr.Comprehensive3DSR if kind == ObjectKind.SR else hd.sr.ComprehensiveSR
    dataset = sop_class(
        evidence=[*sources, *([] if segmentation is None else [segmentation])],
        content=content[0],
        series_instance_uid=made.series_instance_uid,
        series_number=SERIES_NUMBER,
        sop_instance_uid=made.sop_instance_uid,
        instance_number=1,
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description=f"{result.model.name} {result.model.version} report"[:64],
        contributing_equipment=[equipment.contributing_equipment(result, made)],
        **equipment.general_equipment(result.model),
    )
    if prior is not None:
        dataset.PredecessorDocumentsSequence = predecessors(prior)
    equipment.finish(dataset, made)
    return dataset


def _group(
    finding: Finding, result: InferenceResult, sources: Sequence[Dataset], segmentation: Dataset | None
) -> Any:
    said = {
        "tracking_identifier": hd.sr.TrackingIdentifier(finding.tracking_uid, finding.tracking_id),
        "finding_type": concepts.concept(finding.code),
        "algorithm_id": equipment.algorithm_template(result.model),
        "finding_sites": None if finding.site is None else [hd.sr.FindingSite(concepts.concept(finding.site))],
    }
    on_segment = segmentation is not None and finding.segment_number is not None
    measurements = [_measurement(item, on_segment=on_segment) for item in finding.measurements]
    if finding.probability is not None:
        percent = round(100 * finding.probability, 3)
        measurements.append(hd.sr.Measurement(concepts.CERTAINTY_OF_FINDING, percent, concepts.PERCENT))
    if segmentation is None or finding.segment_number is None:
        return hd.sr.MeasurementsAndQualitativeEvaluations(
            **said, measurements=measurements, source_images=_cited(sources)
        )
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        **said,
        measurements=measurements,
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=segmentation.SOPClassUID,
            sop_instance_uid=segmentation.SOPInstanceUID,
            segment_number=finding.segment_number,
            source_series=hd.sr.SourceSeriesForSegmentation(result.series_instance_uid),
        ),
    )


def _measurement(item: Measurement, *, on_segment: bool) -> Any:
    """One number; a volume over a segment also says how it was found (PS3.16 CID 7474)."""
    is_volume = (item.code.value, item.code.scheme) == (concepts.VOLUME.value, concepts.VOLUME.scheme_designator)
    return hd.sr.Measurement(
        name=concepts.concept(item.code),
        value=item.value,
        unit=concepts.concept(item.unit),
        method=concepts.SUM_OF_SEGMENTED_VOXELS if is_volume and on_segment else None,
    )


def _nothing_found(result: InferenceResult, sources: Sequence[Dataset]) -> Any:
    """Group of a run that found nothing; TID 1500 allows no report without a group."""
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            dicom_uid("nothing-found", result.study_instance_uid, result.series_instance_uid, result.revision),
            f"{result.model.name} examination",
        ),
        algorithm_id=equipment.algorithm_template(result.model),
        qualitative_evaluations=[hd.sr.QualitativeEvaluation(concepts.FINDING, concepts.ABSENT)],
        source_images=_cited(sources),
    )


def _cited(sources: Sequence[Dataset]) -> list[Any]:
    return [hd.sr.SourceImageForMeasurementGroup(item.SOPClassUID, item.SOPInstanceUID) for item in sources]


def _procedure(source: Dataset) -> Any:
    """Procedure code of the study where it has a complete one, else "Imaging procedure"."""
    for item in source.get("ProcedureCodeSequence") or []:
        if item.get("CodeValue") and item.get("CodingSchemeDesignator") and item.get("CodeMeaning"):
            return hd.sr.CodedConcept(item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning)
    return concepts.IMAGING_PROCEDURE
