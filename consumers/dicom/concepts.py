"""Codes of the contract → coded concepts of DICOM, and the fixed codes that SEG and SR use.

Designators and meanings are those of PS3.16; SNOMED CT concepts use ``SCT``, never the retired ``SRT`` codes.
"""

from __future__ import annotations

from typing import Any, Final

from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes

from schemas.events import Code, Finding


def concept(code: Code) -> Any:
    """Coded concept (PS3.3 8.8) of a code of the contract."""
    return CodedConcept(value=code.value, scheme_designator=code.scheme, meaning=code.meaning[:64])


PROCESSING_EQUIPMENT: Final = codes.DCM.ProcessingEquipment
ARTIFICIAL_INTELLIGENCE: Final = codes.DCM.ArtificialIntelligence
IMAGING_PROCEDURE: Final = codes.SCT.ImagingProcedure
DEVICE: Final = codes.DCM.Device
VOLUME: Final = codes.SCT.Volume
FINDING: Final = codes.DCM.Finding
ABSENT: Final = codes.SCT.Absent
CERTAINTY_OF_FINDING: Final = codes.DCM.CertaintyOfFinding
PERCENT: Final = codes.UCUM.Percent
SUM_OF_SEGMENTED_VOXELS: Final = CodedConcept("126030", "DCM", "Sum of segmented voxel method for volume")

_ANATOMICAL_STRUCTURE: Final = CodedConcept("123037004", "SCT", "Anatomical Structure")
_ABNORMAL_STRUCTURE: Final = CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")

#: Finding types whose segment is a normal structure: the segment is then the site, not the finding.
ANATOMY: Final = frozenset({"brain-volume"})


def segmented_property(finding: Finding) -> tuple[Any, Any]:
    """Segmented property category and type (PS3.3 C.8.20.2, CID 7150) of a finding's segment."""
    if finding.finding_type in ANATOMY and finding.site is not None:
        return _ANATOMICAL_STRUCTURE, concept(finding.site)
    return _ABNORMAL_STRUCTURE, concept(finding.code)
