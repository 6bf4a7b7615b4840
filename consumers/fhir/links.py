"""Source header, or a report that is already there → what every resource of a result is linked to. Pure.

A verdict comes days after its result, when the gateway may have let go of the images: then the links of the report
on the server are taken over as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from pydicom import Dataset

from consumers.fhir import identity
from consumers.fhir.codes import Json
from schemas.events import InferenceResult

_DAY: Final = re.compile(r"[0-9]{8}")
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9])([0-5][0-9])")
#: As far as FHIR's ``dateTime`` goes.
_ZONE: Final = re.compile(r"([+-](?:0[0-9]|1[0-3])|[+-]14(?=00))([0-5][0-9])")


@dataclass(frozen=True)
class Systems:
    """``Identifier.system`` of Patient IDs and of accession numbers at this site."""

    patient: str
    accession: str


@dataclass(frozen=True)
class Links:
    """Patient, orders and study of a result, as references, and when the study was (FHIR ``dateTime``)."""

    subject: Json | None
    based_on: tuple[Json, ...] = ()
    study: tuple[Json, ...] = ()
    effective: str | None = None

    def elements(self) -> Json:
        """Elements that an Observation and a DiagnosticReport have alike."""
        found: Json = {}
        if self.subject:
            found["subject"] = self.subject
        if self.based_on:
            found["basedOn"] = list(self.based_on)
        if self.effective:
            found["effectiveDateTime"] = self.effective
        return found


def from_header(result: InferenceResult, header: Dataset, systems: Systems) -> Links:
    """Links of a result by identifiers: to a patient and an order that the server may or may not know.

    Parameters
    ----------
    result
        What the model said.
    header
        Attributes of one source instance: Patient ID (0010,0020) with its issuer, accession number (0008,0050),
        study date, time and zone.
    systems
        Namespaces of the identifiers.
    """
    orders = _orders(accession_number(result, header), systems)
    return Links(identity.patient(header, systems.patient), orders, effective=study_time(header))


def without_header(result: InferenceResult, systems: Systems) -> Links:
    """Links of a result whose images nobody read: the study and the order, by identifiers."""
    study = {"type": "ImagingStudy", "identifier": identity.uid_identifier(result.study_instance_uid)}
    return Links(subject=None, based_on=_orders(result.accession_number, systems), study=(study,))


def from_report(report: Json) -> Links:
    """Links of a DiagnosticReport that the server has."""
    return Links(
        subject=report.get("subject"),
        based_on=tuple(report.get("basedOn", ())),
        study=tuple(report.get("imagingStudy", ())),
        effective=report.get("effectiveDateTime"),
    )


def accession_number(result: InferenceResult, header: Dataset) -> str | None:
    """Accession number (0008,0050) of the source, or else of the event."""
    return identity.text_of(header, "AccessionNumber") or result.accession_number or None


def study_time(header: Dataset) -> str | None:
    """Study date and time as FHIR ``dateTime``.

    The time of day is given only with Timezone Offset From UTC (0008,0201), because FHIR knows no local time;
    an unreadable date gives ``None``.
    """
    text = identity.text_of(header, "StudyDate") or ""
    try:
        # fromisoformat alone would also read other forms of ISO 8601
        day = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None:
        return None
    clock = _CLOCK.match(identity.text_of(header, "StudyTime") or "")
    zone = _ZONE.fullmatch(identity.text_of(header, "TimezoneOffsetFromUTC") or "")
    if clock is None or zone is None:
        return date.isoformat(day)
    return f"{day.isoformat()}T{':'.join(clock.groups())}{':'.join(zone.groups())}"


def instant(moment: datetime) -> str:
    """FHIR ``instant`` in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _orders(number: str | None, systems: Systems) -> tuple[Json, ...]:
    if not number:
        return ()
    return ({"type": "ServiceRequest", "identifier": identity.accession(number, systems.accession)},)
