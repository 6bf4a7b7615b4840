"""Result → Observations: one per finding, one for a negative answer, one for quality numbers. Pure, plain JSON.

Everything is labelled as asserted by an artificial intelligence, also after a radiologist has judged it: the
status says who stands behind it now, and a Provenance says when and who.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from consumers.fhir import codes, geometry, identity, wording
from consumers.fhir.codes import Json
from consumers.fhir.links import Links, instant
from consumers.fhir.text import narrative
from schemas.errors import InvalidMessage
from schemas.events import Characteristic, Code, Finding, InferenceResult, Measurement
from schemas.terminology import Language, Phrase, display, phrase


def finding_observation(result: InferenceResult, finding: Finding, links: Links, language: Language) -> Json:
    """Observation of one finding: present, with measurements, characteristics and locations as components.

    A finding that is itself a measured quantity (its code is that of a measurement) has that as its value, because
    a component may not repeat the code of its observation (invariant obs-7); so has one that is a characteristic.

    Parameters
    ----------
    result, finding
        What the model said.
    links
        Patient, order and study.
    language
        Of texts for people; coded values stay as they are.

    Raises
    ------
    InvalidMessage
        A measurement is not a number, which FHIR cannot say, or the finding's own quantity is there twice.
    """
    stated: list[Measurement | Characteristic] = [*finding.measurements, *finding.characteristics]
    own = [item for item in stated if _same(_concept(item), finding.code)]
    if len(own) > 1:
        raise InvalidMessage(
            f"{finding.code.meaning} is measured twice in one finding: correct the model's postprocessing"
        )
    resource = _observation(result, finding.tracking_uid, links, language)
    resource["identifier"].append(identity.uid_identifier(finding.tracking_uid))
    resource["code"] = codes.concept(finding.code, language)
    value = {"valueCodeableConcept": codes.concept(codes.PRESENT, language)}
    resource |= _value(own[0], language) if own else value
    resource["interpretation"] = [codes.interpretation(finding.category, wording.category(finding, language))]
    if finding.site is not None:
        resource["bodySite"] = codes.concept(finding.site, language)
    methods = {m.method for m in finding.measurements if m.method is not None}
    if len(methods) == 1:
        resource["method"] = codes.concept(next(iter(methods)), language)
    components = [_component(item, language) for item in stated if item not in own]
    resource["component"] = components + _details(finding, language)
    resource["note"] = _notes(finding.warnings, result, language) + _methods(finding, language)
    if finding.decision is not None:
        resource["note"].append({"text": _sentence(wording.verdict(finding.decision, language))})
    resource["text"] = narrative([wording.describe(finding, language)], language)
    return resource


def negative_observation(result: InferenceResult, links: Links, language: Language) -> Json:
    """Observation that the model ran and found nothing."""
    resource = _observation(result, "", links, language)
    code = codes.concept(codes.STUDY_OBSERVATION, language)
    resource["code"] = {**code, "text": phrase(Phrase.FINDINGS_TITLE, language)}
    resource["valueCodeableConcept"] = codes.concept(codes.NEGATIVE, language)
    resource["note"] = _notes((), result, language)
    resource["text"] = narrative([wording.nothing(result, language)], language)
    return resource


def quality_observation(result: InferenceResult, links: Links, language: Language) -> Json:
    """Observation that holds numbers about the images or the run; it has no value of its own."""
    resource = _observation(result, "quality", links, language)
    resource["code"] = codes.concept(codes.QUALITY, language)
    resource["component"] = [_component(item, language) for item in result.quality]
    numbers = "; ".join(wording.measured(one, language) for one in result.quality)
    resource["text"] = narrative([f"{phrase(Phrase.QUALITY, language)}: {numbers}"], language)
    return resource


def _observation(result: InferenceResult, about: str, links: Links, language: Language) -> Json:
    return {
        "resourceType": "Observation",
        "meta": {"security": [codes.AI_ASSERTED]},
        "language": language.value,
        "identifier": [identity.observation_identifier(result.task_id, about)],
        "category": [codes.IMAGING],
        "issued": instant(result.occurred_at),
        **links.elements(),
        "derivedFrom": list(links.study),
    }


def _details(finding: Finding, language: Language) -> list[Json]:
    """Side, certainty, regions and the images that show it best."""
    details: list[Json] = []
    if finding.laterality is not None:
        details.append(_component(Characteristic(codes.LATERALITY, codes.SIDES[finding.laterality]), language))
    if finding.probability is not None:
        details.append(
            _component(Measurement(codes.CERTAINTY, finding.probability * 100, codes.PERCENT), language)
        )
    region, image = codes.concept(codes.IMAGE_REGION, language), codes.concept(codes.SOURCE_IMAGE, language)
    details += [{"code": region, "valueString": geometry.describe(one)} for one in finding.locations]
    details += [{"code": image, "valueString": f"urn:oid:{uid}"} for uid in finding.evidence]
    return details


def _component(item: Measurement | Characteristic, language: Language) -> Json:
    return {"code": codes.concept(_concept(item), language), **_value(item, language)}


def _value(item: Measurement | Characteristic, language: Language) -> Json:
    if isinstance(item, Characteristic):
        return {"valueCodeableConcept": codes.concept(item.value, language)}
    if not math.isfinite(item.value):
        raise InvalidMessage(f"{item.code.meaning} is {item.value}: correct the model's postprocessing")
    return {"valueQuantity": codes.quantity(item.value, item.unit, language)}


def _concept(item: Measurement | Characteristic) -> Code:
    return item.name if isinstance(item, Characteristic) else item.code


def _same(one: Code, other: Code) -> bool:
    return (one.value, one.scheme) == (other.value, other.scheme)


def _notes(warnings: Sequence[str], result: InferenceResult, language: Language) -> list[Json]:
    return [{"text": text} for text in [*warnings, *wording.notes(result, language)]]


def _methods(finding: Finding, language: Language) -> list[Json]:
    """An Observation has one method; where measurements differ in theirs, each is told."""
    known = [(m.code, m.method) for m in finding.measurements if m.method is not None]
    if len({method for _, method in known}) < 2:
        return []
    label = phrase(Phrase.METHOD, language)
    return [{"text": f"{display(code, language)}: {label}: {display(method, language)}"} for code, method in known]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
