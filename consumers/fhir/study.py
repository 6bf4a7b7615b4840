"""Result and source header → ImagingStudy and Device: what a result is about, and what made it. Pure.

Both are conditional creates: a server that knows the study or the model keeps its own, fuller resource.
"""

from __future__ import annotations

import re
from typing import Final

from pydicom import Dataset

from consumers.fhir import codes, identity
from consumers.fhir.codes import Json
from consumers.fhir.links import Links, accession_number, study_time
from schemas.events import InferenceResult, ModelIdentity
from schemas.terminology import Language, Phrase, phrase

#: Device identifier of a GS1 UDI in its human readable form; others keep only that form.
_GS1: Final = re.compile(r"\(01\)(\d{14})")
_GS1_ISSUER: Final = "http://hl7.org/fhir/NamingSystem/gs1-di"


def imaging_study(result: InferenceResult, header: Dataset, links: Links, accession_system: str) -> Json:
    """ImagingStudy with the series and the instances that the model looked at.

    It has no counts of series and instances, which one result cannot know.
    """
    modality = identity.text_of(header, "Modality") or "OT"
    series: Json = {
        "uid": result.series_instance_uid,
        "modality": _modality(modality),
        "description": identity.text_of(header, "SeriesDescription") or "",
    }
    number = identity.text_of(header, "SeriesNumber")
    if number and number.isdecimal():
        series["number"] = int(number)
    sop_class = identity.text_of(header, "SOPClassUID")
    if sop_class:
        kind = {"system": identity.URI, "code": f"urn:oid:{sop_class}"}
        series["instance"] = [{"uid": uid, "sopClass": kind} for uid in result.sop_instance_uids]
    identifiers = [identity.uid_identifier(result.study_instance_uid)]
    order = accession_number(result, header)
    if order:
        identifiers.append(identity.accession(order, accession_system))
    study: Json = {
        "resourceType": "ImagingStudy",
        "identifier": identifiers,
        "status": "available",
        "modality": [_modality(modality)],
        "subject": links.subject,
        "started": study_time(header) or "",
        "basedOn": list(links.based_on),
        "description": identity.text_of(header, "StudyDescription") or "",
        "series": [series],
    }
    return study


def device(model: ModelIdentity, language: Language) -> Json:
    """Device of the model; its UID changes with the model file, so a Device is never updated."""
    resource: Json = {
        "resourceType": "Device",
        "language": language.value,
        "identifier": [identity.uid_identifier(model.device_uid)],
        "status": "active",
        "manufacturer": model.manufacturer,
        "deviceName": [{"name": model.name, "type": "model-name"}],
        "type": {"text": phrase(Phrase.DEVICE_TYPE, language)},
        "version": [
            {"type": {"text": "model"}, "value": model.version},
            {"type": {"text": "model file sha256"}, "value": model.sha256},
        ],
    }
    if model.udi:
        resource["udiCarrier"] = [_udi(model.udi)]
    return resource


def _udi(udi: str) -> Json:
    found = _GS1.match(udi)
    identified = {"deviceIdentifier": found[1], "issuer": _GS1_ISSUER} if found else {}
    return {**identified, "carrierHRF": udi}


def _modality(code: str) -> Json:
    return {"system": codes.SYSTEMS["DCM"], "code": code}
