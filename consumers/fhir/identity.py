"""Task, finding and source header → identifiers, entry names and logical references.

Identifiers name the thing for ever and are what a second delivery is matched by; entry names (``fullUrl``) live
only inside one transaction. Both are deterministic, and never the same UUID, because servers rewrite entry names.
The patient is a logical reference: no Patient resource is made up, and servers that know none accept it.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote

from pydicom import Dataset

from consumers.fhir.codes import Json, identifier_type
from schemas.ids import deterministic_uuid

DICOM_UID: Final = "urn:dicom:uid"
URI: Final = "urn:ietf:rfc:3986"
#: Namespaces of our own: names of tasks, marks of Provenance, revisions of studies, accounts of reviewers.
TASK: Final = "urn:scanstream:task-id"
RECORD: Final = "urn:scanstream:record"
REVISION: Final = "urn:scanstream:study-revision"
ACCOUNT: Final = "urn:scanstream:account"
_ABSENT: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


def uid_identifier(uid: str) -> Json:
    """Identifier of a DICOM UID (FHIR R4 ImagingStudy 8.17.5)."""
    return {"system": DICOM_UID, "value": f"urn:oid:{uid}"}


def report_identifier(task_id: str) -> Json:
    """Identifier of the report of a task."""
    return {"system": URI, "value": deterministic_uuid("fhir-report", task_id).urn}


def line_identifier(study_instance_uid: str, model_name: str) -> Json:
    """Identifier that all reports of one model about one study share, whatever the revision."""
    # a model may have any name
    name = quote(model_name, safe="")
    return {"system": URI, "value": deterministic_uuid("fhir-report-line", study_instance_uid, name).urn}


def observation_identifier(task_id: str, subject: str) -> Json:
    """Identifier of an observation of a task.

    ``subject`` is the tracking UID of a finding, ``quality``, or empty for the negative answer.
    """
    return {"system": URI, "value": deterministic_uuid("fhir-observation", task_id, subject).urn}


def task_identifier(task_id: str) -> Json:
    """Identifier of the FHIR Task of an inference task."""
    return {"system": TASK, "value": task_id}


def record_tag(event_id: str) -> Json:
    """Tag of the Provenance that an event makes: in R4 a Provenance has no identifier to find it by."""
    return {"system": RECORD, "code": str(deterministic_uuid("fhir-provenance", event_id))}


def reviewer(account: str) -> Json:
    """Logical reference to who judged a finding, by account name; no name of a person is written."""
    return {"type": "Practitioner", "identifier": {"system": ACCOUNT, "value": account}}


def entry_name(resource_type: str, value: str) -> str:
    """``fullUrl`` of a transaction entry, by resource type and identifier value."""
    return deterministic_uuid("fhir-entry", resource_type, quote(value)).urn


def criteria(resource: Json) -> str:
    """Search criteria that match exactly this resource, for conditional requests (FHIR R4 3.1.0.8.1)."""
    if resource.get("identifier"):
        return f"identifier={quote(token(resource['identifier'][0]), safe=':/')}"
    return f"_tag={quote(tag_token(resource['meta']['tag'][0]), safe=':/')}"


def name_of(resource: Json) -> str:
    """What names a resource for ever: its first identifier, or else its first tag."""
    if resource.get("identifier"):
        return str(resource["identifier"][0]["value"])
    return str(resource["meta"]["tag"][0]["code"])


def token(identifier: Json) -> str:
    """Value of a token search parameter (FHIR R4 3.1.1.4.10) for exactly this identifier."""
    return _token(str(identifier.get("system", "")), str(identifier["value"]))


def tag_token(tag: Json) -> str:
    """Value of the search parameter ``_tag`` for exactly this tag."""
    return _token(str(tag["system"]), str(tag["code"]))


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


def accession(number: str, system: str) -> Json:
    """Identifier of an accession number (0008,0050)."""
    return {"type": identifier_type("ACSN", "Accession ID"), "system": system, "value": number}


def _universal_issuer(header: Dataset) -> str | None:
    items: Any = header.get("IssuerOfPatientIDQualifiersSequence") or []
    for item in items:
        kind, value = text_of(item, "UniversalEntityIDType"), text_of(item, "UniversalEntityID")
        if kind == "ISO" and value:
            return f"urn:oid:{value}"
    return None


def _token(system: str, value: str) -> str:
    # a comma, a bar or a dollar sign inside a value would be read as search syntax
    return "|".join(re.sub(r"([\\,|$])", r"\\\1", part) for part in (system, value))
