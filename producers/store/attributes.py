"""The attributes that the index keeps of each study, series and instance, as data.

They are the matching and return keys of QIDO-RS (PS3.18 tables 10.6.1-5 and 10.6.3-3 to 10.6.3-5) and of the
C-FIND Study Root model (PS3.4 C.6.2.1), plus what routing wants to know. Column names are DICOM keywords; the
SQL tables, the header reader and the query builder are all made from these tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["study", "series", "instance"]


@dataclass(frozen=True)
class Attribute:
    """One indexed attribute: keyword, tag and value representation (PS3.6)."""

    keyword: str
    tag: int
    vr: str

    @property
    def is_number(self) -> bool:
        """Whether the column holds an integer."""
        return self.vr in ("US", "IS")


STUDY: Final = (
    Attribute("StudyInstanceUID", 0x0020000D, "UI"),
    Attribute("StudyDate", 0x00080020, "DA"),
    Attribute("StudyTime", 0x00080030, "TM"),
    Attribute("AccessionNumber", 0x00080050, "SH"),
    Attribute("ReferringPhysicianName", 0x00080090, "PN"),
    Attribute("StudyDescription", 0x00081030, "LO"),
    Attribute("PatientName", 0x00100010, "PN"),
    Attribute("PatientID", 0x00100020, "LO"),
    Attribute("IssuerOfPatientID", 0x00100021, "LO"),
    Attribute("PatientBirthDate", 0x00100030, "DA"),
    Attribute("PatientSex", 0x00100040, "CS"),
    Attribute("StudyID", 0x00200010, "SH"),
)

SERIES: Final = (
    Attribute("SeriesInstanceUID", 0x0020000E, "UI"),
    Attribute("Modality", 0x00080060, "CS"),
    Attribute("Manufacturer", 0x00080070, "LO"),
    Attribute("SeriesDescription", 0x0008103E, "LO"),
    Attribute("BodyPartExamined", 0x00180015, "CS"),
    Attribute("SeriesNumber", 0x00200011, "IS"),
    Attribute("PerformedProcedureStepStartDate", 0x00400244, "DA"),
    Attribute("PerformedProcedureStepStartTime", 0x00400245, "TM"),
    Attribute("ScheduledProcedureStepID", 0x00400009, "SH"),
    Attribute("RequestedProcedureID", 0x00401001, "SH"),
)

INSTANCE: Final = (
    Attribute("SOPInstanceUID", 0x00080018, "UI"),
    Attribute("SOPClassUID", 0x00080016, "UI"),
    Attribute("TimezoneOffsetFromUTC", 0x00080201, "SH"),
    Attribute("InstanceNumber", 0x00200013, "IS"),
    Attribute("NumberOfFrames", 0x00280008, "IS"),
    Attribute("Rows", 0x00280010, "US"),
    Attribute("Columns", 0x00280011, "US"),
    Attribute("BitsAllocated", 0x00280100, "US"),
)

LEVELS: Final[dict[Level, tuple[Attribute, ...]]] = {"study": STUDY, "series": SERIES, "instance": INSTANCE}

REQUESTED_PROCEDURE_PRIORITY: Final = Attribute("RequestedProcedurePriority", 0x00401003, "SH")

#: Of the item of Issuer of Accession Number Sequence (PS3.3 10.14).
ISSUER: Final = (
    Attribute("LocalNamespaceEntityID", 0x00400031, "UT"),
    Attribute("UniversalEntityID", 0x00400032, "UT"),
)

#: Read for the events only; never columns.
EVENT: Final = (
    Attribute("ImageType", 0x00080008, "CS"),
    Attribute("PatientAge", 0x00101010, "AS"),
    Attribute("ContrastBolusAgent", 0x00180010, "LO"),
    Attribute("ContrastBolusAgentSequence", 0x00180012, "SQ"),
    Attribute("SliceThickness", 0x00180050, "DS"),
    Attribute("ImagePositionPatient", 0x00200032, "DS"),
    Attribute("ImageOrientationPatient", 0x00200037, "DS"),
    Attribute("QualityControlImage", 0x00280300, "CS"),
    REQUESTED_PROCEDURE_PRIORITY,
    *ISSUER,
)

SPECIFIC_CHARACTER_SET: Final = 0x00080005
ISSUER_OF_ACCESSION_NUMBER_SEQUENCE: Final = 0x00080051
REQUEST_ATTRIBUTES_SEQUENCE: Final = 0x00400275

#: Nothing of interest has a greater tag, so reading stops there: pixel data is never touched.
LAST_TAG: Final = REQUESTED_PROCEDURE_PRIORITY.tag

WANTED: Final = {attribute.tag: attribute for attribute in (*STUDY, *SERIES, *INSTANCE, *EVENT)}
