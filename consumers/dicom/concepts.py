"""Codes of the contract → coded concepts of DICOM, and the fixed codes that our objects use.

Designators and meanings are those of PS3.16; SNOMED CT concepts use ``SCT``, never the retired ``SRT`` codes. How
soon a person must see a finding has no concept there, so those codes are ours: designators that begin with 99 are
private (PS3.3 8.2), and objects that use them say whose they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.sr.codedict import codes

from consumers.dicom.texts import long_string
from schemas.errors import InvalidMessage
from schemas.events import Category, Code, Finding, Laterality
from schemas.terminology import Language

PRIVATE_SCHEME: Final = "99SCANSTREAM"


def concept(code: Code) -> Any:
    """Coded concept (PS3.3 8.8) of a code of the contract.

    Raises
    ------
    InvalidMessage
        It has no value or no coding scheme.
    """
    value, scheme = long_string(code.value), long_string(code.scheme)[:16]
    if not value or not scheme:
        raise InvalidMessage(
            f"a code of the result has no value or no coding scheme ({long_string(code.meaning)!r}): "
            "correct the codes of the model"
        )
    return CodedConcept(value, scheme, long_string(code.meaning, value))


PROCESSING_EQUIPMENT: Final = codes.DCM.ProcessingEquipment
ARTIFICIAL_INTELLIGENCE: Final = codes.DCM.ArtificialIntelligence
IMAGING_PROCEDURE: Final = codes.SCT.ImagingProcedure
DEVICE: Final = codes.DCM.Device
VOLUME: Final = codes.SCT.Volume
FINDING: Final = codes.DCM.Finding
ABSENT: Final = codes.SCT.Absent
CERTAINTY_OF_FINDING: Final = codes.DCM.CertaintyOfFinding
PERCENT: Final = codes.UCUM.Percent
COMMENT: Final = codes.DCM.Comment
LATERALITY: Final = codes.SCT.Laterality
OF_INTEREST: Final = codes.DCM.OfInterest
NOT_A_NUMBER: Final = codes.DCM.NotANumber
SUM_OF_SEGMENTED_VOXELS: Final = CodedConcept("126030", "DCM", "Sum of segmented voxel method for volume")
QUALITATIVE_EVALUATIONS: Final = CodedConcept("C0034375", "UMLS", "Qualitative Evaluations")
CATEGORY: Final = CodedConcept("category", PRIVATE_SCHEME, "Category of finding")

#: PS3.16 CID 244.
SIDES: Final[Mapping[Laterality, Any]] = {
    Laterality.LEFT: codes.SCT.Left,
    Laterality.RIGHT: codes.SCT.Right,
    Laterality.BILATERAL: CodedConcept("51440002", "SCT", "Bilateral"),
}

#: PS3.16 CID 5000.
LANGUAGES: Final[Mapping[Language, Any]] = {
    Language.ENGLISH: CodedConcept("en", "RFC5646", "English"),
    Language.UKRAINIAN: CodedConcept("uk", "RFC5646", "Ukrainian"),
}

_ANATOMICAL_STRUCTURE: Final = codes.SCT.AnatomicalStructure
_ABNORMAL_STRUCTURE: Final = CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")


def segmented_property(finding: Finding) -> tuple[Any, Any]:
    """Segmented property category and type (PS3.3 C.8.20.2, CID 7150) of a finding's segment.

    A finding whose site is itself is a normal structure that was measured, such as the brain.
    """
    if finding.site is not None and (finding.site.value, finding.site.scheme) == (
        finding.code.value,
        finding.code.scheme,
    ):
        return _ANATOMICAL_STRUCTURE, concept(finding.site)
    return _ABNORMAL_STRUCTURE, concept(finding.code)


def category(finding: Finding) -> Any:
    """Coded concept of how soon a person must see a finding."""
    meanings = {
        Category.CRITICAL: "Critical finding",
        Category.URGENT: "Urgent finding",
        Category.ROUTINE: "Routine finding",
        Category.INCIDENTAL: "Incidental finding",
    }
    return CodedConcept(finding.category.value, PRIVATE_SCHEME, meanings[finding.category])


def private_scheme() -> Dataset:
    """Item of Coding Scheme Identification Sequence (0008,0110) for our private codes (PS3.3 C.12.1)."""
    item = Dataset()
    item.CodingSchemeDesignator = PRIVATE_SCHEME
    item.CodingSchemeName = "Categories of findings"
    item.CodingSchemeResponsibleOrganization = "scanstream"
    return item
