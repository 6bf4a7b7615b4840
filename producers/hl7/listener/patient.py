"""PID, MRG, PV1 and CON → who it is about, where, and what was agreed to. Pure.

Names become a PN (PS3.5 6.2.1). What a patient is called and numbered leaves here only into the worklist item and,
hashed, into the patient key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from producers.hl7.listener.problem import REQUIRED, UNKNOWN_KEY, Rejected
from producers.hl7.listener.sources import Source
from producers.hl7.listener.times import date_of, local_parts
from producers.hl7.read import Message, Segment
from producers.patient_age import years_between
from producers.patient_key import PatientKeys

#: Deletes what was there (HL7 2.5.1 2.5.3).
NULL: Final = '""'
#: Types of identifiers that hospitals number their patients with (table 0203).
_PATIENT_NUMBERS: Final = ("MR", "PI", "PT", "PN", "U", "")
_SEX: Final = {"M": "M", "F": "F", "O": "O", "A": "O", "N": "O"}
#: Consent status (table 0498): active, refused, rescinded. Limited, pending and bypassed decide nothing.
_CONSENT: Final = {"A": "granted", "R": "refused", "X": "refused"}
_UNFIT: Final = str.maketrans(dict.fromkeys("\\^=\r\n\t\f\v\x1b", " "))


@dataclass(frozen=True)
class Identifier:
    """A patient's number, and who assigned it."""

    value: str
    issuer: str
    key: str


@dataclass(frozen=True, repr=False)
class Patient:
    """Who a message is about; shows nothing of itself where it is printed."""

    identifier: Identifier
    name: str
    birth_date: str | None
    sex: str | None
    age_years: float | None


@dataclass(frozen=True)
class Visit:
    """PV1; ``None`` where it says nothing."""

    patient_class: str | None = None
    location: str | None = None
    number: str | None = None
    referring_physician: str | None = None


def text(segment: Segment | None, field: int, component: int = 1, subcomponent: int = 1) -> str:
    """A value without spaces around; empty where it is absent or deleted."""
    if segment is None:
        return ""
    value = segment.value(field, component, subcomponent).strip()
    return "" if value == NULL else value


def patient_of(message: Message, source: Source, keys: PatientKeys, at: datetime) -> Patient:
    """Patient of the first PID.

    Parameters
    ----------
    message
        It is about one patient.
    source
        Whose assigning authority counts.
    keys
        Hashes identifiers.
    at
        When the message was written; the age is of that day.

    Raises
    ------
    Rejected
        There is no PID, or no identifier that can be used.
    """
    pid = message.first("PID")
    if pid is None:
        raise Rejected(REQUIRED, "PID", "the message has no PID segment: send it with the patient")
    return patient_in(pid, source, keys, at)


def patient_in(pid: Segment, source: Source, keys: PatientKeys, at: datetime) -> Patient:
    """Patient of one PID; as in :func:`patient_of`."""
    birth = date_of(text(pid, 7))
    return Patient(
        identifier=identifier_in(pid, 3, source, keys),
        name=name_of(pid, 5),
        birth_date=birth,
        sex=_SEX.get(text(pid, 8).upper()),
        age_years=years_between(birth, local_parts(at, source.zone)[0]),
    )


def identifier_in(segment: Segment, field: int, source: Source, keys: PatientKeys) -> Identifier:
    """The identifier of a list (CX) that counts.

    That of the source's assigning authority; else, or where none is agreed on, a hospital's number before others.

    Raises
    ------
    Rejected
        There is none, or the agreed authority's is missing while others are there.
    """
    place = f"{segment.name}-{field}"
    found: list[tuple[str, str, str]] = []
    for written in segment.repetitions(field):
        value, issuer, kind = (segment.part(written, number).strip() for number in (1, 4, 5))
        if value and value != NULL:
            found.append((value, issuer if issuer != NULL else "", kind))
    if not found:
        raise Rejected(REQUIRED, place, f"{place} holds no identifier of the patient: send one")
    wanted = source.assigning_authority
    if wanted:
        fitting = [one for one in found if one[1].casefold() == wanted.casefold()]
        fitting = fitting or [one for one in found if not one[1]]
        if not fitting:
            raise Rejected(
                UNKNOWN_KEY,
                place,
                f"{place} holds no identifier of the assigning authority agreed on: send it too",
            )
        found = fitting
    numbers = [one for one in found if one[2] in _PATIENT_NUMBERS]
    value, issuer, _ = (numbers or found)[0]
    issuer = issuer or wanted
    key = keys.key(value, issuer)
    if key is None:
        raise Rejected(REQUIRED, place, f"{place} holds no identifier that can be used: send one")
    return Identifier(value, issuer, key)


def name_of(segment: Segment | None, field: int, first: int = 1) -> str:
    """PN of an XPN, or of an XCN whose name begins at component 2."""
    if segment is None:
        return ""
    family, given, middle, suffix, prefix = (
        text(segment, field, first + number).translate(_UNFIT).strip() for number in range(5)
    )
    return "^".join((family, given, middle, prefix, suffix)).rstrip("^")


def visit_of(message: Message) -> Visit:
    """What PV1 says."""
    pv1 = message.first("PV1")
    return Visit(
        patient_class=text(pv1, 2).upper()[:16] or None,
        location=text(pv1, 3)[:64] or None,
        number=text(pv1, 19)[:64] or None,
        referring_physician=name_of(pv1, 8, 2) or None,
    )


def consent_of(message: Message, source: Source) -> str | None:
    """Granted, refused, or ``None`` where nothing is said; one refusal counts more than any grant."""
    said = [
        _CONSENT.get(text(segment, 11).upper())
        for segment in message.all("CON")
        if not source.consent_types or text(segment, 2) in source.consent_types
    ]
    return "refused" if "refused" in said else next((one for one in said if one), None)
