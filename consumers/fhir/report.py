"""Result → the DiagnosticReport that holds its observations together. Pure, plain JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from consumers.fhir import codes, identity
from consumers.fhir.codes import Json
from consumers.fhir.links import Links, instant
from consumers.fhir.text import narrative
from consumers.fhir.wording import conclusion
from schemas.events import InferenceResult
from schemas.terminology import Language, Phrase, phrase

#: R4 extension: this report takes the place of another, whose images were fewer.
REPLACES: Final = "http://hl7.org/fhir/StructureDefinition/diagnosticReport-replaces"


@dataclass(frozen=True)
class Replaced:
    """A report of an earlier revision that this one takes the place of."""

    reference: str
    revision: str


def report(
    result: InferenceResult,
    links: Links,
    language: Language,
    *,
    observations: Sequence[Json],
    issued: datetime,
    replaced: Sequence[Replaced] = (),
    interpreters: Sequence[Json] = (),
) -> Json:
    """DiagnosticReport without its status, which depends on what the server has.

    Parameters
    ----------
    result
        What the model said, with the verdicts so far.
    links
        Patient, order and study.
    language
        Of texts for people.
    observations
        References to the observations that stand; withdrawn ones are left out: nobody must take them for facts.
    issued
        When this version was made: by the model, or by the last verdict.
    replaced
        Reports of earlier revisions that this one takes the place of.
    interpreters
        References to the radiologists who judged it.
    """
    sentences = conclusion(result, language, [one.revision for one in replaced])
    revision = {"system": identity.REVISION, "code": str(result.revision)}
    return {
        "resourceType": "DiagnosticReport",
        "meta": {"security": [codes.AI_ASSERTED], "tag": [revision]},
        "language": language.value,
        "text": narrative(sentences, language),
        "extension": [{"url": REPLACES, "valueReference": {"reference": one.reference}} for one in replaced],
        "identifier": [
            identity.report_identifier(result.task_id),
            identity.line_identifier(result.study_instance_uid, result.model.name),
        ],
        "category": [codes.RADIOLOGY],
        "code": {**codes.DIAGNOSTIC_IMAGING_STUDY, "text": phrase(Phrase.REPORT_TITLE, language)},
        **links.elements(),
        "issued": instant(issued),
        "resultsInterpreter": list(interpreters),
        "result": list(observations),
        "imagingStudy": list(links.study),
        "conclusion": " ".join(sentences),
    }


def revision_of(kept: Json) -> int | None:
    """Revision of the study that a report on the server is about, or ``None`` where it does not say."""
    for tag in kept.get("meta", {}).get("tag", []):
        if tag.get("system") == identity.REVISION and str(tag.get("code", "")).isdecimal():
            return int(tag["code"])
    return None
