"""Result → sentences for a person, and the narrative of a resource."""

from __future__ import annotations

from html import escape
from typing import Final

from consumers.fhir.codes import Json
from schemas.events import Finding, InferenceResult, ResultOutcome

NOTHING: Final = "The model found nothing of what it looks for; this does not exclude disease."


def conclusion(result: InferenceResult) -> list[str]:
    """Sentences of the report, for a person."""
    model = f"{result.model.name} {result.model.version}"
    sentences = [f"Preliminary result of the AI model {model}, not confirmed by a radiologist."]
    if result.outcome is ResultOutcome.NO_FINDINGS or not result.findings:
        sentences.append(NOTHING)
    sentences += [describe(finding) for finding in result.findings]
    sentences += [f"Warning: {warning.rstrip('.')}." for warning in result.warnings]
    if result.limitations:
        sentences.append(f"Limitations: {result.limitations.rstrip('.')}.")
    return sentences


def describe(finding: Finding) -> str:
    """One sentence for one finding."""
    # where the finding is the organ itself, its site would only repeat it
    site = finding.site if finding.site and finding.site.value != finding.code.value else None
    parts = [finding.code.meaning, *([site.meaning] if site else [])]
    numbers = [f"{m.code.meaning} {m.value:.6g} {m.unit.value}" for m in finding.measurements]
    if finding.probability is not None:
        numbers.append(f"probability {finding.probability:.2f}")
    return f"{', '.join([*parts, *numbers])} ({finding.category.value})."


def narrative(sentences: list[str]) -> Json:
    """Generated narrative (FHIR R4 2.4.2)."""
    body = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{body}</div>'}
