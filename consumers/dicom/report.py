"""Findings of a result → a structured report (PS3.16 TID 1500, "Imaging Measurement Report").

Comprehensive 3D SR is the SOP class that IHE AIR lists for results. Comprehensive SR is the older one for systems
that do not take it: it has no coordinates in the patient, and those are only mentioned there, as a comment; they
are not projected onto an image, which would claim to know one.

Each finding is one or more measurement groups (:mod:`consumers.dicom.report_groups`). A run that found nothing
says so in a group of its own ("Finding: Absent"), which is not the same as no report. What is about the whole run
stands at the end: warnings and limitations as comments, and quality metrics, by which TID 1500 is extended.
The report is complete, preliminary and unverified: only a person verifies.
"""

from __future__ import annotations

from typing import Any, Final

import highdicom as hd
from pydicom import Dataset

from consumers.dicom import concepts, equipment
from consumers.dicom.identity import identity
from consumers.dicom.material import Material
from consumers.dicom.plan import ObjectKind
from consumers.dicom.prior import Prior, predecessors
from consumers.dicom.report_groups import Surroundings, cited, comment, groups, measurement
from consumers.dicom.texts import long_string
from schemas.events import InferenceResult
from schemas.ids import dicom_uid
from schemas.terminology import Language, Phrase, phrase

_SERIES_NUMBERS: Final = {ObjectKind.SR: 9002, ObjectKind.SR_2D: 9008}


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
        Of comments and descriptions; also named in the document (TID 1204).
    prior
        The report that this one replaces.

    Raises
    ------
    InvalidMessage
        A finding refers to an image that the result does not have, or a code or location of it is incomplete.
    """
    sources = material.sources
    named = [] if segments is None else [segments]
    made = identity(result, kind, sources[0], language, prior, refers_to=named)
    title = phrase(Phrase.REPORT_TITLE_MODEL, language, model=f"{result.model.name} {result.model.version}")
    sop_class = hd.sr.Comprehensive3DSR if kind is ObjectKind.SR else hd.sr.ComprehensiveSR
    root = _content(result, material, segments, kind, language)
    # highdicom copies the tree twice and searches it for references to images, all of which are found already.
    tree, root.ContentSequence = root.ContentSequence, root.ContentSequence[:1]
    dataset: Dataset = sop_class(
        evidence=[*sources, *named],
        content=root,
        series_instance_uid=made.series_instance_uid,
        series_number=_SERIES_NUMBERS[kind],
        sop_instance_uid=made.sop_instance_uid,
        instance_number=1,
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description=long_string(title),
        contributing_equipment=[equipment.contributing_equipment(result, made)],
        **equipment.general_equipment(result.model),
    )
    dataset.ContentSequence = tree
    if prior is not None:
        dataset.PredecessorDocumentsSequence = predecessors(prior)
    if result.findings:
        dataset.CodingSchemeIdentificationSequence = [concepts.private_scheme()]
    equipment.finish(dataset, made)
    return dataset


def _content(
    result: InferenceResult, material: Material, segments: Dataset | None, kind: ObjectKind, language: Language
) -> Dataset:
    images = {str(source.SOPInstanceUID): source for source in material.sources}
    around = Surroundings(material, images, segments, in_space=kind is ObjectKind.SR, language=language)
    measured = [group for finding in result.findings for group in groups(finding, around)]
    if not measured:
        measured.append(_nothing_found(result, material, language))
    root = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=equipment.observer(result.model)),
        procedure_reported=_procedure(material.sources[0]),
        imaging_measurements=measured,
        language_of_content_item_and_descendants=hd.sr.LanguageOfContentItemAndDescendants(
            concepts.LANGUAGES[language]
        ),
    )[0]
    # The algorithm is that of all groups (TID 1500 row 7), which need not repeat it.
    container = root.ContentSequence[-1].ContentSequence
    for place, item in enumerate(equipment.algorithm_template(result.model)):
        container.insert(place, item)
    root.ContentSequence.append(_about_the_run(result, language))
    return root


def _about_the_run(result: InferenceResult, language: Language) -> Any:
    """Texts and quality metrics about the whole result (TID 1500 rows 12 and 14)."""
    said = [phrase(Phrase.PRELIMINARY, language, model=f"{result.model.name} {result.model.version}")]
    if not result.findings:
        said.append(phrase(Phrase.NOTHING_FOUND, language))
    if result.limitations:
        said.append(phrase(Phrase.LIMITATIONS_TEXT, language, text=result.limitations))
    for key, texts in (
        (Phrase.WARNING, result.warnings),
        (Phrase.IMAGE_QUALITY_WARNING, result.image_quality_warnings),
        (Phrase.OUT_OF_DOMAIN_WARNING, result.out_of_domain_warnings),
    ):
        said += [phrase(key, language, text=text) for text in texts]
    container = hd.sr.ContainerContentItem(
        concepts.QUALITATIVE_EVALUATIONS, relationship_type=hd.sr.RelationshipTypeValues.CONTAINS
    )
    container.ContentSequence = hd.sr.ContentSequence([comment(text) for text in said])
    for item in result.quality:
        container.ContentSequence.extend(measurement(item))
    return container


def _nothing_found(result: InferenceResult, material: Material, language: Language) -> Any:
    """Group of a run that found nothing; TID 1500 allows no report without a group."""
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            dicom_uid("nothing-found", result.study_instance_uid, result.series_instance_uid, result.revision),
            phrase(Phrase.FINDINGS, language),
        ),
        qualitative_evaluations=[hd.sr.QualitativeEvaluation(concepts.FINDING, concepts.ABSENT)],
        source_images=cited(material.sources),
    )


def _procedure(source: Dataset) -> Any:
    """Procedure code of the study where it has a complete one, else "Imaging procedure"."""
    for item in source.get("ProcedureCodeSequence") or []:
        if item.get("CodeValue") and item.get("CodingSchemeDesignator") and item.get("CodeMeaning"):
            return hd.sr.CodedConcept(item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning)
    return concepts.IMAGING_PROCEDURE
