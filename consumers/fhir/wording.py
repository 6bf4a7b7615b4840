"""Result → sentences for a person, in the language of the destination. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.events import Decision, Finding, InferenceResult, Measurement
from schemas.terminology import Language, Phrase, display, phrase


def conclusion(result: InferenceResult, language: Language, replaced: Sequence[str] = ()) -> list[str]:
    """Sentences of the report, for a person.

    Parameters
    ----------
    result
        What the model said, with the verdicts so far.
    language
        Of the sentences.
    replaced
        Revisions of the study whose reports this one replaces.
    """
    sentences = [_standing(result, language)]
    if not result.findings:
        sentences.append(nothing(result, language))
    sentences += [describe(finding, language) for finding in result.findings]
    sentences += notes(result, language)
    sentences += [phrase(Phrase.REPLACES_PREVIOUS, language, revision=revision) for revision in replaced]
    return sentences


def _standing(result: InferenceResult, language: Language) -> str:
    model = f"{result.model.name} {result.model.version}"
    decisions = [finding.decision for finding in result.findings] or [result.decision]
    judged = sum(decision is not None for decision in decisions)
    preliminary = phrase(Phrase.PRELIMINARY, language, model=model)
    if judged == 0:
        return preliminary
    if judged < len(decisions):
        so_far = phrase(Phrase.PARTLY_REVIEWED, language, reviewed=judged, count=len(decisions))
        return f"{preliminary} {so_far}"
    title = phrase(Phrase.REPORT_TITLE_MODEL, language, model=model)
    return f"{title}. {phrase(Phrase.REVIEWED, language)}" if result.findings else f"{title}."


def nothing(result: InferenceResult, language: Language) -> str:
    """The negative answer, or what became of it."""
    if result.decision is Decision.REJECTED:
        return phrase(Phrase.NOTHING_FOUND_REJECTED, language)
    key = Phrase.NOTHING_FOUND if result.decision is None else Phrase.NOTHING_FOUND_CONFIRMED
    return phrase(key, language)


def describe(finding: Finding, language: Language) -> str:
    """One sentence for one finding."""
    # where the finding is the organ itself, its site would only repeat it
    site = finding.site if finding.site and finding.site.value != finding.code.value else None
    parts = [display(finding.code, language), *([display(site, language)] if site else [])]
    if finding.laterality is not None:
        parts.append(phrase(Phrase[f"LATERALITY_{finding.laterality.name}"], language))
    parts += [f"{display(one.name, language)}: {display(one.value, language)}" for one in finding.characteristics]
    parts += [measured(measurement, language) for measurement in finding.measurements]
    if finding.probability is not None:
        parts.append(phrase(Phrase.PROBABILITY_VALUE, language, value=f"{finding.probability:.2f}"))
    text = ", ".join(parts)
    sentence = f"{text[:1].upper()}{text[1:]} ({category(finding, language)})"
    return f"{sentence}, {verdict(finding.decision, language)}." if finding.decision else f"{sentence}."


def measured(measurement: Measurement, language: Language) -> str:
    """A number with its name and unit; a ratio (UCUM ``1``) has none to show."""
    unit = measurement.unit
    shown = "" if (unit.scheme, unit.value) == ("UCUM", "1") else f" {display(unit, language)}"
    return f"{display(measurement.code, language)} {measurement.value:.6g}{shown}"


def category(finding: Finding, language: Language) -> str:
    """How soon a person must see a finding."""
    return phrase(Phrase[f"CATEGORY_{finding.category.name}"], language)


def verdict(decision: Decision, language: Language) -> str:
    """What a radiologist decided."""
    return phrase(Phrase[f"DECISION_{decision.name}"], language)


def notes(result: InferenceResult, language: Language) -> list[str]:
    """Why a person should trust the result less: warnings and limitations."""
    texts = [
        *((Phrase.WARNING, text) for text in result.warnings),
        *((Phrase.IMAGE_QUALITY_WARNING, text) for text in result.image_quality_warnings),
        *((Phrase.OUT_OF_DOMAIN_WARNING, text) for text in result.out_of_domain_warnings),
        *((Phrase.LIMITATIONS_TEXT, text) for text in [result.limitations or ""]),
    ]
    return [phrase(key, language, text=f"{text.strip().rstrip('.')}.") for key, text in texts if text.strip()]
