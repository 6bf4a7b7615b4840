"""Header of a source image → PID and PV1 (HL7 2.5.1 3.4.2, 3.4.3). Pure.

Nothing is made up: what the header does not say is not said, and a date that is none is left out.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from pydicom import Dataset
from pydicom.multival import MultiValue

from producers.hl7.build import Component, Field, Value, segment
from schemas.errors import InvalidMessage

#: Unspecified type of name (table 0200), where PID-5 is required and no name is known.
_UNKNOWN_NAME: Final[Value] = (None, None, None, None, None, None, "U")
_UNKNOWN_CLASS: Final = "U"
#: Order of the component groups of a PN (PS3.5 6.2.1) → name representation code (table 0465).
_REPRESENTATIONS: Final = ("A", "I", "P")
_SEX: Final = frozenset({"M", "F", "O"})
#: Attributes whose values could tell who the patient is or who is concerned with them.
_PERSONAL: Final = (
    "PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "AdmissionID", "ReferringPhysicianName",
    "RequestingPhysician", "StudyID",
)  # fmt: skip


def text_of(header: Dataset, keyword: str) -> str:
    """Text of an attribute without padding; empty where it is absent."""
    value = header.get(keyword)
    if isinstance(value, MultiValue):
        # a backslash in what has one value only
        value = "\\".join(map(str, value))
    return "" if value is None else str(value).strip(" \0")


def first_item(header: Dataset, keyword: str) -> Dataset:
    """First item of a sequence; an empty one where there is none."""
    items: Any = header.get(keyword) or [Dataset()]
    item: Dataset = items[0]
    return item


def pid(header: Dataset, assigning_authority: str) -> str:
    """Patient identification.

    Parameters
    ----------
    header
        Attributes of one source instance.
    assigning_authority
        PID-3.4 where the header names no issuer (0010,0021).

    Raises
    ------
    InvalidMessage
        The header has no Patient ID, and PID-3 is required.
    """
    identifier = text_of(header, "PatientID")
    if not identifier:
        raise InvalidMessage("the images have no Patient ID, which PID-3 needs: correct the study and replay")
    born, sex = text_of(header, "PatientBirthDate"), text_of(header, "PatientSex")
    names: list[Value] = list(_names(text_of(header, "PatientName")))
    fields: dict[int, Field] = {
        1: "1",
        3: (identifier, None, None, _issuer(header) or namespace(assigning_authority), "MR"),
        5: names or _UNKNOWN_NAME,
        7: born if is_date(born) else None,
        8: sex if sex in _SEX else None,
    }
    return segment("PID", fields)


def pv1(header: Dataset) -> str | None:
    """Patient visit; ``None`` where the header knows nothing of one."""
    location, visit = text_of(header, "CurrentPatientLocation"), text_of(header, "AdmissionID")
    doctor = provider(text_of(header, "ReferringPhysicianName"))
    if not (location or visit or doctor):
        return None
    fields: dict[int, Field] = {1: "1", 2: _UNKNOWN_CLASS, 3: location, 8: doctor, 19: visit}
    return segment("PV1", fields)


def provider(name: str) -> Value:
    """XCN of a doctor's PN, or ``None``; images carry no number of a doctor."""
    # a name may be there in ideographs only (PS3.5 6.2.1.1)
    written = next((group for group in name.split("=") if group.strip("^ ")), "")
    family, given, middle, prefix, suffix = _components(written)
    if not (family or given):
        return None
    return (None, family, given, middle, suffix, prefix)


def namespace(text: str) -> tuple[str | None, ...]:
    """Parts of an HD (2.A.33), as settings give it: a name, or name, identifier and its type between ``^``."""
    return tuple(text.replace("&", "^").split("^")[:3])


def personal_values(header: Dataset, accession_number: str | None) -> set[str]:
    """Every value that could tell who somebody is, for taking it out of what a receiver says."""
    values: set[str] = {accession_number or ""}
    for keyword in _PERSONAL:
        text = text_of(header, keyword)
        values.add(text)
        values.update(text.replace("=", "^").split("^"))
    return {value.strip() for value in values if len(value.strip()) > 1}


def _names(name: str) -> list[Value]:
    groups = name.split("=")[:3]
    several = sum(bool(group.strip("^ ")) for group in groups) > 1
    written: list[Value] = []
    for group, representation in zip(groups, _REPRESENTATIONS, strict=False):
        family, given, middle, prefix, suffix = _components(group)
        if not any((family, given, middle, prefix, suffix)):
            continue
        parts: tuple[Component, ...] = (family, given, middle, suffix, prefix, None, "L")
        written.append((*parts, representation) if several else parts)
    return written


def _components(group: str) -> list[str]:
    """Family name, given name, middle name, prefix, suffix of a PN (PS3.5 6.2.1.1)."""
    parts = [part.strip() for part in group.split("^")]
    return [*parts, *[""] * 5][:5]


def _issuer(header: Dataset) -> tuple[str | None, ...] | None:
    name = text_of(header, "IssuerOfPatientID")
    qualifiers = first_item(header, "IssuerOfPatientIDQualifiersSequence")
    universal, kind = text_of(qualifiers, "UniversalEntityID"), text_of(qualifiers, "UniversalEntityIDType")
    if universal and kind:
        return name, universal, kind
    return (name,) if name else None


def is_date(text: str) -> bool:
    """Whether a DA is a day of the calendar; zeros, which stand for an unknown one, are not."""
    if not (len(text) == 8 and text.isascii() and text.isdigit()):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
