"""Result → sentences for a person, in the language of the destination. Pure."""

from __future__ import annotations

from typing import Final

from consumers.oru import status
from producers.hl7.values import number
from schemas.events import Category, Decision, Finding, InferenceResult, Laterality, Measurement, ResultOutcome
from schemas.terminology import Language, Phrase, display, phrase

CATEGORIES: Final[dict[Category, Phrase]] = {
    Category.CRITICAL: Phrase.CATEGORY_CRITICAL,
    Category.URGENT: Phrase.CATEGORY_URGENT,
    Category.ROUTINE: Phrase.CATEGORY_ROUTINE,
    Category.INCIDENTAL: Phrase.CATEGORY_INCIDENTAL,
}
_SIDES: Final[dict[Laterality, Phrase]] = {
    Laterality.LEFT: Phrase.LATERALITY_LEFT,
    Laterality.RIGHT: Phrase.LATERALITY_RIGHT,
    Laterality.BILATERAL: Phrase.LATERALITY_BILATERAL,
}
_VERDICTS: Final[dict[Decision | None, Phrase]] = {
    None: Phrase.DECISION_NONE,
    Decision.CONFIRMED: Phrase.DECISION_CONFIRMED,
    Decision.REJECTED: Phrase.DECISION_REJECTED,
    Decision.AMENDED: Phrase.DECISION_AMENDED,
}


def summary(result: InferenceResult, language: Language) -> list[str]:
    """Lines of the report: how far it may be trusted, then one line per finding."""
    model = f"{result.model.name} {result.model.version}"
    if result.outcome is ResultOutcome.COULD_NOT_RUN:
        return [failure(result, language)]
    decisions = status.decisions(result)
    judged = sum(decision is not None for decision in decisions)
    if not result.findings:
        return _nothing(result.decision, model, language)
    if not judged:
        opening = phrase(Phrase.PRELIMINARY, language, model=model)
    elif judged == len(decisions):
        opening = phrase(Phrase.REVIEWED, language)
    else:
        opening = phrase(Phrase.PARTLY_REVIEWED, language, reviewed=judged, count=len(decisions))
    lines = [describe(finding, language, told=judged > 0) for finding in result.findings]
    return [opening, *(f"{index}. {line}" for index, line in enumerate(lines, 1))]


def notes(result: InferenceResult, language: Language) -> list[str]:
    """Sentences that say why to trust a result less, and what it stands in place of."""
    earlier = status.previous_filler_order_number(result)
    replaced = [phrase(Phrase.REPLACES_PREVIOUS, language, revision=result.revision - 1)]
    replaced += [f"OBR-3 {earlier}"] if earlier else []
    lines = [
        *([" ".join(replaced)] if result.revision > 1 else []),
        *(phrase(Phrase.IMAGE_QUALITY_WARNING, language, text=text) for text in result.image_quality_warnings),
        *(phrase(Phrase.OUT_OF_DOMAIN_WARNING, language, text=text) for text in result.out_of_domain_warnings),
        *(phrase(Phrase.WARNING, language, text=text) for text in result.warnings),
    ]
    if result.limitations:
        lines.append(phrase(Phrase.LIMITATIONS_TEXT, language, text=result.limitations))
    return lines


def failure(result: InferenceResult, language: Language) -> str:
    """Why there is no result."""
    return phrase(Phrase.COULD_NOT_RUN, language, reason=result.reason or "")


def describe(finding: Finding, language: Language, *, told: bool) -> str:
    """One line for one finding; ``told`` adds what a radiologist said of it."""
    # where the finding is the organ itself, its site would only repeat it
    site = finding.site if finding.site and finding.site.value != finding.code.value else None
    parts = [display(finding.code, language)]
    parts += [display(site, language)] if site else []
    parts += [phrase(_SIDES[finding.laterality], language)] if finding.laterality else []
    parts += [display(item.value, language) for item in finding.characteristics]
    parts += [_measured(item, language) for item in finding.measurements]
    if finding.probability is not None:
        parts.append(phrase(Phrase.PROBABILITY_VALUE, language, value=f"{finding.probability:.2f}"))
    aside = [phrase(CATEGORIES[finding.category], language)]
    aside += [phrase(_VERDICTS[finding.decision], language)] if told else []
    return f"{', '.join(parts)} ({', '.join(aside)})"


def _measured(measurement: Measurement, language: Language) -> str:
    value = number(measurement.value) or str(measurement.value)
    return f"{display(measurement.code, language)} {value} {display(measurement.unit, language)}"


def _nothing(decision: Decision | None, model: str, language: Language) -> list[str]:
    if decision is Decision.CONFIRMED:
        return [phrase(Phrase.NOTHING_FOUND_CONFIRMED, language)]
    if decision is not None:
        return [phrase(Phrase.NOTHING_FOUND_REJECTED, language)]
    return [phrase(Phrase.PRELIMINARY, language, model=model), phrase(Phrase.NOTHING_FOUND, language)]
