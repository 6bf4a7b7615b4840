"""Alarm → the small page behind a link to acknowledge it, in both languages, that of the contact first. Pure.

No script and nothing from elsewhere: it must open on any telephone, through any proxy.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from typing import Final
from zoneinfo import ZoneInfo

from consumers.escalation import wording
from schemas.events import EscalationStage, EscalationStep
from schemas.terminology import Language, Phrase, phrase

_STYLE: Final = (
    "body{font:1.15rem/1.5 system-ui,sans-serif;max-width:34rem;margin:2rem auto;padding:0 1rem;color:#111;"
    "background:#fff}h1{font-size:1.35rem}section+section{border-top:1px solid #bbb;color:#333;margin-top:1.5rem}"
    "button{font:inherit;font-weight:700;width:100%;padding:1rem;border:0;border-radius:.5rem;background:#a00;"
    "color:#fff;margin:1rem 0}p.said{font-weight:700}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Final = {
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",  # the link itself is what lets somebody answer
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}

_UTC: Final = ZoneInfo("UTC")


def question(step: EscalationStep, language: Language, action: str) -> str:
    """Page that asks, with a button that posts to ``action``; what was answered before is said instead."""
    if step.stage is EscalationStage.WITHDRAWN:
        return _page(language, step, Phrase.ESCALATION_WITHDRAWN)
    if step.stage is EscalationStage.ACKNOWLEDGED:
        return _page(language, step, Phrase.ALREADY_ACKNOWLEDGED)
    label = " / ".join(phrase(Phrase.ACKNOWLEDGE_LINK, one) for one in _both(language))
    form = f'<form method="post" action="{escape(action)}"><button>{escape(label)}</button></form>'
    return _page(language, step, Phrase.ACKNOWLEDGE_QUESTION, form)


def said(language: Language, key: Phrase, step: EscalationStep | None = None) -> str:
    """Page with one sentence, and the alarm where it is known."""
    return _page(language, step, key)


def _page(language: Language, step: EscalationStep | None, key: Phrase, form: str = "") -> str:
    first, second = (_section(one, step, key) for one in _both(language))
    title = escape(phrase(Phrase.ACKNOWLEDGE_LINK, language))
    return (
        f'<!doctype html><html lang="{language.value}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body>{first}{form}{second}</body></html>"
    )


def _section(language: Language, step: EscalationStep | None, key: Phrase) -> str:
    parts = []
    if step is not None:
        parts.append(f"<h1>{escape(wording.subject(step, language))}</h1>")
        parts += [f"<p>{escape(line)}</p>" for line in _about(step, language)]
    reason = "" if step is None else step.reason or ""
    parts.append(f'<p class="said">{escape(phrase(key, language, reason=reason))}</p>')
    return f'<section lang="{language.value}">{"".join(parts)}</section>'


def _about(step: EscalationStep, language: Language) -> Iterable[str]:
    if step.accession_number:
        yield phrase(Phrase.ESCALATION_ACCESSION, language, accession=step.accession_number)
    yield phrase(Phrase.ESCALATION_TIME, language, time=wording.moment(step.result_at, _UTC))
    yield phrase(Phrase.ESCALATION_PRELIMINARY, language)
    if step.stage is EscalationStage.ACKNOWLEDGED:
        at = wording.moment(step.occurred_at, _UTC)
        yield phrase(Phrase.ACKNOWLEDGED_BY, language, actor=step.actor or "", time=at)


def _both(language: Language) -> tuple[Language, Language]:
    return language, next(one for one in Language if one is not language)
