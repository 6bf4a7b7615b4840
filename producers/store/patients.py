"""Patients of the index → rows: studies grouped by whose they are. Pure; for C-FIND at patient level.

A patient is Patient ID and Issuer of Patient ID. Studies without a Patient ID are of one patient only when name
and birth date are the same, so that nobody's studies are shown under another's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from producers.store.attributes import STUDY, Attribute
from producers.store.conditions import LITERAL, Matching, Parameter, condition
from schemas.errors import InvalidMessage

#: Attributes of a patient among those of a study.
PATIENT: Final[dict[str, Attribute]] = {
    attribute.keyword: attribute for attribute in STUDY if attribute.tag >> 16 == 0x0010
}

_KEY: Final = (
    "PatientID, IssuerOfPatientID, "
    "CASE WHEN PatientID IS NULL THEN coalesce(PatientName, '') || '|' || coalesce(PatientBirthDate, '') END"
)
_OF_PATIENT: Final = (
    "FROM studies AS s{more} WHERE s.PatientID IS page.PatientID AND s.IssuerOfPatientID IS page.IssuerOfPatientID"
    " AND (page.PatientID IS NOT NULL"
    " OR (s.PatientName IS page.PatientName AND s.PatientBirthDate IS page.PatientBirthDate))"
)
_COUNTED: Final = ", ".join(
    f"(SELECT count(*) {_OF_PATIENT.format(more=more)}) AS NumberOfPatientRelated{name}"
    for name, more in (
        ("Studies", ""),
        ("Series", " JOIN series USING (StudyInstanceUID)"),
        ("Instances", " JOIN instances USING (StudyInstanceUID)"),
    )
)


def build_patients(
    filters: Mapping[str, str], limit: int, offset: int, matching: Matching = LITERAL
) -> tuple[str, list[Parameter]]:
    """SQL and parameters of a page of patients; each has the attributes of the study that was stored last.

    Parameters
    ----------
    filters
        Keyword of a patient attribute → matching value; empty or ``*`` matches everything.
    limit, offset
        Page.
    matching
        Ways of matching beyond the literal one.

    Raises
    ------
    InvalidMessage
        A keyword is no attribute of a patient, or its value is none of its value representation.
    """
    wheres: list[str] = []
    parameters: list[Parameter] = []
    for keyword, value in filters.items():
        if keyword not in PATIENT:
            raise InvalidMessage(f"{keyword} cannot be matched at patient level: see the conformance statement")
        if value in ("", "*"):
            continue
        text, values = condition(PATIENT[keyword], value, matching)
        wheres.append(text)
        parameters += values
    where = f" WHERE {' AND '.join(wheres)}" if wheres else ""
    columns = ", ".join(PATIENT)
    # SQLite takes the other columns of a group from the row that has the maximum.
    page = (
        f"SELECT {columns}, max(first_stored_at) FROM studies{where} "  # noqa: S608 - names of our own table
        f"GROUP BY {_KEY} ORDER BY {_KEY} LIMIT ? OFFSET ?"
    )
    return f"SELECT {columns}, {_COUNTED} FROM ({page}) AS page", [*parameters, limit, offset]  # noqa: S608 - ours
