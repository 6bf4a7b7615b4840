"""Task, finding and source header → identifiers, entry names and logical references.

Identifiers name the thing for ever and are what a second delivery is matched by; entry names (``fullUrl``) live
only inside one transaction. Both are deterministic, and never the same UUID, because servers rewrite entry names.
The patient is a logical reference: no Patient resource is made up, and servers that know none accept it.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from pydicom import Dataset

from consumers.fhir.codes import Json, identifier_type
from schemas.ids import deterministic_uuid

DICOM_UID: Final = "urn:dicom:uid"
URI: Final = "urn:ietf:rfc:3986"
_ABSENT: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


def uid_identifier(uid: str) -> Json:
    """Identifier of a DICOM UID (FHIR R4 ImagingStudy 8.17.5)."""
    return {"system": DICOM_UID, "value": f"urn:oid:{uid}"}


def report_identifier(task_id: str) -> Json:
    """Identifier of the report of a task."""
    return {"system": URI, "value": deterministic_uuid("fhir-report", task_id).urn}


def observation_identifier(task_id: str, tracking_uid: str) -> Json:
    """Identifier of the observation of a finding; ``tracking_uid`` empty means the negative answer of the task."""
    return {"system": URI, "value": deterministic_uuid("fhir-observation", task_id, tracking_uid).urn}


def entry_name(resource_type: str, value: str) -> str:
    """``fullUrl`` of a transaction entry, by resource type and identifier value."""
    return deterministic_uuid("fhir-entry", resource_type, value).urn


def criteria(identifier: Json) -> str:
    """Search criteria that match exactly this identifier, for conditional requests (FHIR R4 3.1.0.8.1)."""
    return f"identifier={quote(identifier['system'], safe=':/')}%7C{quote(identifier['value'], safe=':/')}"


def text_of(header: Dataset, keyword: str) -> str | None:
    """Text of an attribute without padding, or ``None`` when it is absent or empty."""
    value = header.get(keyword)
    text = "" if value is None else str(value).strip().strip("\0")
    return text or None


def patient(header: Dataset, system: str) -> Json:
    """Logical reference to the patient of a study (FHIR R4 2.3.0, ``Reference.identifier``).

    Parameters
    ----------
    header
        Attributes of one source instance.
    system
        Namespace of the Patient ID (0010,0020), unless its issuer (0010,0024) names a universal one.

    Returns
    -------
    dict
        ``Reference`` to a Patient; without a Patient ID it says that the identity is unknown.
    """
    value = text_of(header, "PatientID")
    if value is None:
        return {"type": "Patient", "extension": [{"url": _ABSENT, "valueCode": "unknown"}]}
    identifier: Json = {
        "type": identifier_type("MR", "Medical record number"),
        "system": _universal_issuer(header) or system,
        "value": value,
    }
    issuer = text_of(header, "IssuerOfPatientID")
    if issuer:
        identifier["assigner"] = {"display": issuer}
    return {"type": "Patient", "identifier": identifier}


def accession(number: str) -> Json:
    """Identifier of an accession number; its system is unknown, so it has none."""
    return {"type": identifier_type("ACSN", "Accession ID"), "value": number}


def _universal_issuer(header: Dataset) -> str | None:
    items: Any = header.get("IssuerOfPatientIDQualifiersSequence") or []
    for item in items:
        kind, value = text_of(item, "UniversalEntityIDType"), text_of(item, "UniversalEntityID")
        if kind == "ISO" and value:
            return f"urn:oid:{value}"
    return None
