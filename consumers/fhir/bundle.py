"""Result and source header → one transaction Bundle (FHIR R4 3.1.0.11).

ImagingStudy and Device are conditional creates: what the server has stays as it is. Observations and the report
are conditional updates by identifiers of their own, so the same result sent twice is one report.
"""

from __future__ import annotations

from pydicom import Dataset

from consumers.fhir import identity, resources
from consumers.fhir.codes import Json
from schemas.errors import InvalidMessage
from schemas.events import InferenceResult, ResultOutcome


def transaction(result: InferenceResult, header: Dataset, patient_system: str) -> Json:
    """Bundle that makes one result known to a FHIR server, all of it or nothing.

    Parameters
    ----------
    result
        Outcome ``FINDINGS`` or ``NO_FINDINGS``.
    header
        Attributes of one instance of the series that the model looked at: Patient ID (0010,0020), accession
        number (0008,0050), study date, modality, SOP class.
    patient_system
        ``Identifier.system`` of the Patient ID.

    Returns
    -------
    dict
        The Bundle as JSON; the same arguments give the same bytes.

    Raises
    ------
    InvalidMessage
        The model could not run, so there is nothing to report; or the header is of another study; or two
        findings share a tracking UID.
    """
    _check(result, header)
    subject = identity.patient(header, patient_system)
    study = resources.imaging_study(result, header, subject)
    device = resources.device(result.model)
    entries = [_create(study), _create(device)]
    study_reference = {"reference": entries[0]["fullUrl"], "type": "ImagingStudy"}
    links: Json = {
        "subject": subject,
        "device": {"reference": entries[1]["fullUrl"], "type": "Device"},
        "derivedFrom": [study_reference],
    }
    observations = [resources.observation(result, finding, header, links) for finding in result.findings]
    if not observations:
        observations = [resources.negative_observation(result, header, links)]
    entries += [_update(observation) for observation in observations]
    references = [{"reference": entry["fullUrl"], "type": "Observation"} for entry in entries[2:]]
    entries.append(_update(resources.report(result, header, subject, study_reference, references)))
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _check(result: InferenceResult, header: Dataset) -> None:
    if result.outcome is ResultOutcome.COULD_NOT_RUN:
        raise InvalidMessage("the model could not run: there is nothing to report, look at the task's reason")
    if identity.text_of(header, "StudyInstanceUID") not in (None, result.study_instance_uid):
        raise InvalidMessage("the source header is of another study: check the retrieve URL of the result")
    tracking = {finding.tracking_uid for finding in result.findings}
    if len(tracking) != len(result.findings):
        raise InvalidMessage("two findings share a tracking UID: correct the model's postprocessing")


def _create(resource: Json) -> Json:
    identifier = resource["identifier"][0]
    kind = resource["resourceType"]
    return {
        "fullUrl": identity.entry_name(kind, identifier["value"]),
        "resource": resource,
        "request": {"method": "POST", "url": kind, "ifNoneExist": identity.criteria(identifier)},
    }


def _update(resource: Json) -> Json:
    identifier = resource["identifier"][0]
    kind = resource["resourceType"]
    return {
        "fullUrl": identity.entry_name(kind, identifier["value"]),
        "resource": resource,
        "request": {"method": "PUT", "url": f"{kind}?{identity.criteria(identifier)}"},
    }
