"""Query/Retrieve information models: levels, and their unique keys (PS3.4 C.6.1, C.6.2). Pure."""

from __future__ import annotations

from typing import Final, Literal

from producers.dimse.identifier import Keys
from schemas.errors import InvalidMessage

QueryLevel = Literal["PATIENT", "STUDY", "SERIES", "IMAGE"]

QUERY_RETRIEVE_LEVEL: Final = 0x00080052
PATIENT_ID: Final = 0x00100020
ISSUER_OF_PATIENT_ID: Final = 0x00100021
STUDY_INSTANCE_UID: Final = 0x0020000D
SERIES_INSTANCE_UID: Final = 0x0020000E
SOP_INSTANCE_UID: Final = 0x00080018

#: From the top down.
LEVELS: Final[tuple[QueryLevel, ...]] = ("PATIENT", "STUDY", "SERIES", "IMAGE")
UNIQUE_KEYS: Final[dict[QueryLevel, int]] = {
    "PATIENT": PATIENT_ID,
    "STUDY": STUDY_INSTANCE_UID,
    "SERIES": SERIES_INSTANCE_UID,
    "IMAGE": SOP_INSTANCE_UID,
}
_PATIENT_ROOT: Final = "1.2.840.10008.5.1.4.1.2.1."
_NAMES: Final = {
    PATIENT_ID: "PatientID",
    STUDY_INSTANCE_UID: "StudyInstanceUID",
    SERIES_INSTANCE_UID: "SeriesInstanceUID",
    SOP_INSTANCE_UID: "SOPInstanceUID",
}


def levels_of(sop_class_uid: str) -> tuple[QueryLevel, ...]:
    """Levels of an information model; Study Root has no patient level of its own."""
    return LEVELS if sop_class_uid.startswith(_PATIENT_ROOT) else LEVELS[1:]


def level_of(keys: Keys, sop_class_uid: str) -> QueryLevel:
    """Level of an identifier.

    Raises
    ------
    InvalidMessage
        It names none, or none of this model.
    """
    name = keys.text(QUERY_RETRIEVE_LEVEL).strip().upper()
    for level in levels_of(sop_class_uid):
        if level == name:
            return level
    raise InvalidMessage(f"QueryRetrieveLevel must be one of {' '.join(levels_of(sop_class_uid))}")


def require_unique_keys_above(keys: Keys, level: QueryLevel, sop_class_uid: str) -> None:
    """Check that a hierarchical identifier names one entity on every level above its own (PS3.4 C.4.1.3.1.1).

    Raises
    ------
    InvalidMessage
        A unique key is missing, or is no single value.
    """
    for above in levels_of(sop_class_uid):
        if above == level:
            return
        value = keys.text(UNIQUE_KEYS[above])
        if not value or any(mark in value for mark in "\\*?"):
            raise InvalidMessage(f"{_NAMES[UNIQUE_KEYS[above]]} must be one value at {level} level")
