"""A result and the objects made of it → one Key Object Selection (PS3.3 A.35.4, PS3.16 TID 2010).

It points at the images that show the findings best, and at everything that was made, so that a viewer that lists
key images leads from the series to the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import highdicom as hd
from pydicom import Dataset

from consumers.dicom import concepts, equipment
from consumers.dicom.identity import identity
from consumers.dicom.material import Material
from consumers.dicom.plan import ObjectKind
from consumers.dicom.planes import frames_of
from consumers.dicom.report_regions import mask_of
from consumers.dicom.source import image_of
from consumers.dicom.texts import long_string, unlimited_text
from schemas.events import Finding, InferenceResult
from schemas.terminology import Language, Phrase, display, phrase

SERIES_NUMBER: Final = 9009


def key_objects(
    result: InferenceResult, material: Material, made: Sequence[Dataset], language: Language
) -> Dataset | None:
    """Build the Key Object Selection of a result.

    Parameters
    ----------
    result
        Its findings name the images.
    material
        Sources and masks.
    made
        The objects that were made of the result.
    language
        Of the description.

    Returns
    -------
    Dataset or None
        ``None`` where there is nothing to point at: no finding, and nothing made.

    Raises
    ------
    InvalidMessage
        A finding refers to an image that the result does not have.
    """
    images = {str(source.SOPInstanceUID): source for source in material.sources}
    named = dict.fromkeys(uid for finding in result.findings for uid in _images_of(finding, material))
    shown = [image_of(images, uid) for uid in named]
    if not shown and not made:
        return None
    identified = identity(result, ObjectKind.KOS, material.sources[0], language, refers_to=made)
    content = hd.ko.KeyObjectSelection(
        concepts.OF_INTEREST,
        [*shown, *made],
        observer_device_context=equipment.observer(result.model),
        description=unlimited_text(_description(result, language)),
    )
    spoken = hd.sr.LanguageOfContentItemAndDescendants(concepts.LANGUAGES[language])
    content[0].ContentSequence.insert(0, spoken[0])
    dataset: Dataset = hd.ko.KeyObjectSelectionDocument(
        evidence=_evidence(material.sources[0], [*shown, *made]),
        content=content,
        series_instance_uid=identified.series_instance_uid,
        series_number=SERIES_NUMBER,
        sop_instance_uid=identified.sop_instance_uid,
        instance_number=1,
        series_description=long_string(phrase(Phrase.KEY_OBJECTS_TITLE, language)),
        contributing_equipment=[equipment.contributing_equipment(result, identified)],
        **equipment.general_equipment(result.model),
    )
    equipment.finish(dataset, identified)
    return dataset


def _evidence(source: Dataset, named: Sequence[Dataset]) -> list[Dataset]:
    """What is pointed at; patient and study are read from the first, and prepared in the first source alone."""
    first = Dataset()
    first.update(source)  # Dataset(source) would share its elements, and rename the source itself
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"):
        first[keyword] = named[0][keyword]
    return [first, *named[1:]]


def _images_of(finding: Finding, material: Material) -> Iterator[str]:
    """SOP Instance UIDs of the images that show a finding, the best first."""
    yield from finding.evidence
    for location in finding.locations:
        if location.sop_instance_uid is not None:
            yield location.sop_instance_uid
    mask = mask_of(finding, material)
    if mask is not None:
        yield frames_of(material.sources)[int(mask.sum(axis=(1, 2)).argmax())].sop_instance_uid


def _description(result: InferenceResult, language: Language) -> str:
    found = ", ".join(dict.fromkeys(display(finding.code, language) for finding in result.findings))
    said = phrase(Phrase.PRELIMINARY, language, model=f"{result.model.name} {result.model.version}")
    return f"{found}\n{said}" if found else f"{phrase(Phrase.NOTHING_FOUND, language)}\n{said}"
