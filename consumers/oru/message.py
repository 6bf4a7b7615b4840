"""Result, header of a source image, verdict → ORU^R01^ORU_R01 of HL7 2.5.1 (7.3.1). Pure.

Guarantee: the same result, header and verdict give the same bytes, whenever they are made: message time (MSH-7)
and status time (OBR-22) are those of the event, the control id (MSH-10) follows from it. So a replay is recognised
by its control id, and a receiver that compares OBR-22 never takes an older status for a newer one.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom import Dataset

from consumers.oru.observations import comments, observations
from consumers.oru.order import obr, study_time
from consumers.oru.patient import namespace, personal_values, pid, pv1
from consumers.oru.status import control_id
from consumers.oru.wording import notes
from producers.hl7.build import Field, message, segment
from producers.hl7.charset import UNICODE_UTF8
from producers.hl7.values import timestamp
from schemas.destinations import OruSettings
from schemas.events import Adjudication, InferenceResult
from schemas.terminology import Language


@dataclass(frozen=True, repr=False)
class Oru:
    """A message to send; it shows nothing of itself where it is printed, as it names the patient.

    Attributes
    ----------
    control_id
        MSH-10.
    payload
        The message.
    personal
        Values in it that must not be repeated.
    """

    control_id: str
    payload: bytes
    personal: frozenset[str]


def oru(
    result: InferenceResult,
    header: Dataset,
    settings: OruSettings,
    language: Language,
    verdict: Adjudication | None = None,
) -> Oru:
    """Message that tells a result as it stands.

    Parameters
    ----------
    result
        ``verdict.result`` where there is a verdict.
    header
        Attributes of one source instance; events carry no patient identity.
    settings
        Names of sender and receiver.
    language
        Of texts for people.
    verdict
        The latest, or ``None`` before any.

    Raises
    ------
    InvalidMessage
        The header has no Patient ID.
    """
    said_at = verdict.occurred_at if verdict else result.occurred_at
    identifier = control_id(result, verdict)
    msh: dict[int, Field] = {
        3: namespace(settings.sending_application),
        4: namespace(settings.sending_facility),
        5: namespace(settings.receiving_application),
        6: namespace(settings.receiving_facility),
        7: timestamp(said_at),
        9: ("ORU", "R01", "ORU_R01"),
        10: identifier,
        11: settings.processing_id,
        12: "2.5.1",
        18: UNICODE_UTF8,
        19: (language.value, None, "ISO639"),
    }
    visit = pv1(header)
    segments = [
        segment("MSH", msh),
        pid(header, settings.assigning_authority),
        *([visit] if visit else []),
        obr(result, header, settings.sending_application, language, verdict),
        *comments(notes(result, language)),
        *observations(result, study_time(header), language, verdict),
    ]
    personal = personal_values(header, result.accession_number)
    return Oru(identifier, message(segments), frozenset(personal))
