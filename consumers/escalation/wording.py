"""Alarm → the texts that people get, in their language. Pure.

Guarantee: a text holds the finding, the study and times; never a patient's name, identifier or birth date, because
a step has none. A rehearsal says so first.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from schemas.events import Category, EscalationStep
from schemas.terminology import Language, Phrase, display, phrase

#: Line ends and other control characters that an accession number or a meaning may hold.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

_FIRST: Final = datetime(1, 1, 2, tzinfo=UTC)
_LAST: Final = datetime(9999, 12, 30, tzinfo=UTC)

#: Longest text of one field from elsewhere, in characters.
_LONGEST: Final = 120


def finding_text(step: EscalationStep, language: Language) -> str:
    """Finding, site, side and probability in one line."""
    parts = [_clean(display(step.finding, language))]
    if step.site is not None and step.site != step.finding:
        parts.append(_clean(display(step.site, language)))
    if step.laterality is not None:
        parts.append(phrase(Phrase(f"laterality_{step.laterality.value}"), language))
    # what is no probability says nothing, and may be as long as it likes
    if step.probability is not None and 0 <= step.probability <= 1:
        value = f"{step.probability:.0%}"
        parts.append(phrase(Phrase.PROBABILITY_VALUE, language, value=value))
    return ", ".join(parts)


def subject(step: EscalationStep, language: Language) -> str:
    """One line that says what it is about."""
    key = Phrase.ESCALATION_SUBJECT if step.category is Category.CRITICAL else Phrase.ESCALATION_SUBJECT_URGENT
    return _marked(step, language, phrase(key, language, finding=finding_text(step, language)))


def lines(
    step: EscalationStep, language: Language, zone: ZoneInfo, *, level: int, levels: int, due_at: datetime | None
) -> tuple[str, ...]:
    """What a mail or a page says below its subject.

    Parameters
    ----------
    step
        The alarm.
    language
        Of the contact.
    zone
        In which times are told.
    level, levels
        Which contact this is, of how many.
    due_at
        When the next contact is told; ``None`` where this is the last.
    """
    said = [phrase(Phrase.ESCALATION_FINDING, language, finding=finding_text(step, language))]
    if step.accession_number:
        said.append(phrase(Phrase.ESCALATION_ACCESSION, language, accession=_clean(step.accession_number)))
    said.append(phrase(Phrase.ESCALATION_STUDY, language, study=_clean(step.study_instance_uid)))
    said.append(phrase(Phrase.ESCALATION_TIME, language, time=moment(step.result_at, zone)))
    said.append(phrase(Phrase.ESCALATION_PRELIMINARY, language))
    said.append(phrase(Phrase.ESCALATION_LEVEL, language, level=level, count=levels))
    if due_at is None:
        said.append(phrase(Phrase.ESCALATION_LAST, language))
    else:
        said.append(phrase(Phrase.ESCALATION_DUE, language, time=moment(due_at, zone)))
    return tuple(said)


def short(step: EscalationStep, language: Language, link: str, most: int) -> str:
    """Text message of at most ``most`` characters; the finding gives way, the link is whole."""
    accession = _clean(step.accession_number or step.study_instance_uid)

    def text(finding: str) -> str:
        said = phrase(Phrase.ESCALATION_SMS, language, finding=finding, accession=accession, url=link)
        return _marked(step, language, said)

    finding = finding_text(step, language)
    excess = len(text(finding)) - most
    if excess > 0:
        finding = finding[: max(len(finding) - excess - 1, 0)].rstrip() + "…"
    return text(finding)


def moment(at: datetime, zone: ZoneInfo) -> str:
    """Time for a person, such as ``2026-11-22 11:30 EET``."""
    shown = at.astimezone(zone) if _FIRST <= at <= _LAST else at  # else it has no time in every zone
    return f"{shown:%Y-%m-%d %H:%M %Z}"


def _marked(step: EscalationStep, language: Language, text: str) -> str:
    return f"{phrase(Phrase.REHEARSAL, language)}: {text}" if step.rehearsal else text


def _clean(text: str) -> str:
    plain = " ".join(_CONTROL.sub(" ", text).split())
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"
