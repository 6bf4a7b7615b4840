"""Messages and verdicts that several tests of the ORU writer use."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from pydicom import DataElement, Dataset
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.tag import Tag

from consumers.oru.message import oru
from producers.hl7.read import Message, Segment
from schemas.destinations import OruSettings
from schemas.events import Adjudication, Decision, InferenceResult
from schemas.ids import event_id
from schemas.terminology import Language
from tests.consumers.results import headers

SETTINGS = OruSettings(sending_facility="Лікарня^1.2.3^ISO", assigning_authority="ЛІКАРНЯ")


def header(**attributes: object) -> Dataset:
    """Header of the demonstration series, with other attributes."""
    made = Dataset()
    made.update(headers()[0])
    for keyword, value in attributes.items():
        tag = Tag(keyword)
        made.add(DataElement(tag, dictionary_VR(tag), value, validation_mode=IGNORE))
    return made


def told(
    result: InferenceResult,
    verdict: Adjudication | None = None,
    language: Language = Language.ENGLISH,
    about: Dataset | None = None,
) -> Message:
    """The message of a result, read again."""
    return Message.of(oru(result, about or header(), SETTINGS, language, verdict).payload)


def obr_of(message: Message) -> Segment:
    found = message.first("OBR")
    assert found is not None
    return found


def obx(message: Message, code: str, sub_id: str | None = None) -> Segment:
    """The one OBX with this code and sub-id."""
    found = [
        item
        for item in message.all("OBX")
        if item.value(3) == code and (sub_id is None or item.value(4) == sub_id)
    ]
    assert len(found) == 1, f"{len(found)} OBX {code} {sub_id}"
    return found[0]


def judged(
    result: InferenceResult, index: int | None, decision: Decision, comment: str | None = None, minutes: int = 5
) -> Adjudication:
    """Verdict on a finding, or on the whole where ``index`` is ``None``; the result carries those before it."""
    if index is None:
        about, after = result.event_id, replace(result, decision=decision)
    else:
        findings = list(result.findings)
        findings[index] = replace(findings[index], decision=decision)
        about, after = findings[index].finding_id, replace(result, findings=tuple(findings))
    return Adjudication(
        event_id=event_id("adjudication", about, decision.value, minutes),
        occurred_at=result.occurred_at + timedelta(minutes=minutes),
        finding_id=about,
        task_id=result.task_id,
        study_instance_uid=result.study_instance_uid,
        decision=decision,
        reviewer="radiologist-7",
        comment=comment,
        result=after,
    )
