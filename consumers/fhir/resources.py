"""Result and source header → the FHIR R4 resources of a transaction, as plain JSON.

Pure. Everything that a model said is ``preliminary`` and labelled as asserted by an artificial intelligence, until
a radiologist confirms it.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime

from pydicom import Dataset

from consumers.fhir import codes, identity
from consumers.fhir.codes import Json
from consumers.fhir.wording import NOTHING, conclusion, describe, narrative
from schemas.errors import InvalidMessage
from schemas.events import Code, Finding, InferenceResult, Measurement, ModelIdentity


def imaging_study(result: InferenceResult, header: Dataset, subject: Json) -> Json:
    """ImagingStudy with the series and the instances that the model looked at.

    It is sent as a conditional create: a server that knows the study keeps its own, fuller one. Hence no counts
    of series and instances, which one result cannot know.
    """
    modality = identity.text_of(header, "Modality") or "OT"
    series: Json = {"uid": result.series_instance_uid, "modality": _modality(modality)}
    number = identity.text_of(header, "SeriesNumber")
    if number and number.isdecimal():
        series["number"] = int(number)
    _put(series, "description", identity.text_of(header, "SeriesDescription"))
    sop_class = identity.text_of(header, "SOPClassUID")
    if sop_class:
        kind = {"system": identity.URI, "code": f"urn:oid:{sop_class}"}
        series["instance"] = [{"uid": uid, "sopClass": kind} for uid in result.sop_instance_uids]
    identifiers = [identity.uid_identifier(result.study_instance_uid)]
    number = accession_number(result, header)
    if number:
        identifiers.append(identity.accession(number))
    study: Json = {
        "resourceType": "ImagingStudy",
        "identifier": identifiers,
        "status": "available",
        "modality": [_modality(modality)],
        "subject": subject,
        "series": [series],
    }
    _put(study, "started", study_time(header))
    _put(study, "description", identity.text_of(header, "StudyDescription"))
    return study


def device(model: ModelIdentity) -> Json:
    """Device of the model; its UID changes with the model file, so a Device is never updated."""
    return {
        "resourceType": "Device",
        "identifier": [identity.uid_identifier(model.device_uid)],
        "status": "active",
        "manufacturer": model.manufacturer,
        "deviceName": [{"name": model.name, "type": "model-name"}],
        "type": {"text": "Radiology AI model"},
        "version": [
            {"type": {"text": "model"}, "value": model.version},
            {"type": {"text": "model file sha256"}, "value": model.sha256},
        ],
    }


def observation(result: InferenceResult, finding: Finding, header: Dataset, links: Json) -> Json:
    """Observation of one finding: present, with each measurement as a component in UCUM.

    A finding that is itself a measured quantity (its code is that of a measurement) has that as its value, because
    a component may not repeat the code of its observation (invariant obs-7).

    Parameters
    ----------
    result, finding
        What the model said.
    header
        Attributes of one source instance.
    links
        ``subject``, ``device`` and ``derivedFrom`` of everything in this transaction.

    Raises
    ------
    InvalidMessage
        A measurement is not a number, which FHIR cannot say, or the finding's own quantity is there twice.
    """
    own = [m for m in finding.measurements if _same(m.code, finding.code)]
    if len(own) > 1:
        raise InvalidMessage(
            f"{finding.code.meaning} is measured twice in one finding: correct the model's postprocessing"
        )
    components = [_component(m) for m in finding.measurements if m not in own]
    if finding.probability is not None:
        certainty = Measurement(codes.CERTAINTY, finding.probability * 100, codes.PERCENT)
        components.append(_component(certainty))
    resource = _observation(result, finding.tracking_uid, header, links)
    resource["identifier"].append(identity.uid_identifier(finding.tracking_uid))
    resource["code"] = codes.concept(finding.code)
    if own:
        resource["valueQuantity"] = _component(own[0])["valueQuantity"]
    else:
        resource["valueCodeableConcept"] = codes.concept(codes.PRESENT)
    resource["interpretation"] = [codes.interpretation(finding.category)]
    if finding.site is not None:
        resource["bodySite"] = codes.concept(finding.site)
    if components:
        resource["component"] = components
    notes = _notes(result, finding.warnings)
    if notes:
        resource["note"] = notes
    resource["text"] = narrative([describe(finding)])
    return resource


def negative_observation(result: InferenceResult, header: Dataset, links: Json) -> Json:
    """Observation that the model ran and found nothing; arguments as for :func:`observation`."""
    resource = _observation(result, "", header, links)
    resource["code"] = codes.STUDY_OBSERVATION
    resource["valueCodeableConcept"] = codes.concept(codes.NEGATIVE)
    notes = _notes(result, ())
    if notes:
        resource["note"] = notes
    resource["text"] = narrative([NOTHING])
    return resource


def report(result: InferenceResult, header: Dataset, subject: Json, study: Json, results: list[Json]) -> Json:
    """Preliminary DiagnosticReport that holds the observations together.

    Parameters
    ----------
    result, header
        What the model said, and attributes of one source instance.
    subject, study
        References to the patient and to the ImagingStudy.
    results
        References to the observations.
    """
    sentences = conclusion(result)
    resource: Json = {
        "resourceType": "DiagnosticReport",
        "meta": {"security": [codes.AI_ASSERTED]},
        "text": narrative(sentences),
        "identifier": [identity.report_identifier(result.task_id)],
        "status": "preliminary",
        "category": [codes.RADIOLOGY],
        "code": codes.DIAGNOSTIC_IMAGING_STUDY,
        "subject": subject,
        "issued": _instant(result.occurred_at),
        "result": results,
        "imagingStudy": [study],
        "conclusion": " ".join(sentences),
    }
    _put(resource, "effectiveDateTime", study_time(header))
    number = accession_number(result, header)
    if number:
        resource["basedOn"] = [{"type": "ServiceRequest", "identifier": identity.accession(number)}]
    return resource


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
        day = datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a DICOM date has no zone
    except ValueError:
        return None
    clock = re.match(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d)", identity.text_of(header, "StudyTime") or "")
    zone = re.fullmatch(r"([+-](?:0\d|1[0-4]))([0-5]\d)", identity.text_of(header, "TimezoneOffsetFromUTC") or "")
    if clock is None or zone is None:
        return date.isoformat(day)
    return f"{day.isoformat()}T{':'.join(clock.groups())}{':'.join(zone.groups())}"


def _observation(result: InferenceResult, tracking_uid: str, header: Dataset, links: Json) -> Json:
    resource: Json = {
        "resourceType": "Observation",
        "meta": {"security": [codes.AI_ASSERTED]},
        "identifier": [identity.observation_identifier(result.task_id, tracking_uid)],
        "status": "preliminary",
        "category": [codes.IMAGING],
        "issued": _instant(result.occurred_at),
        **links,
    }
    _put(resource, "effectiveDateTime", study_time(header))
    return resource


def _same(one: Code, other: Code) -> bool:
    return (one.value, one.scheme) == (other.value, other.scheme)


def _component(measurement: Measurement) -> Json:
    if not math.isfinite(measurement.value):
        raise InvalidMessage(
            f"{measurement.code.meaning} is {measurement.value}: correct the model's postprocessing"
        )
    return {
        "code": codes.concept(measurement.code),
        "valueQuantity": codes.quantity(measurement.value, measurement.unit),
    }


def _notes(result: InferenceResult, warnings: tuple[str, ...]) -> list[Json]:
    texts = [*warnings, *result.warnings, *([f"Limitations: {result.limitations}"] if result.limitations else [])]
    return [{"text": text} for text in texts]


def _modality(code: str) -> Json:
    return {"system": codes.SYSTEMS["DCM"], "code": code}


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _put(resource: Json, name: str, value: str | None) -> None:
    if value:
        resource[name] = value
