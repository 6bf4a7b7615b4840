"""Any text → text that FHIR can carry, and sentences → the narrative of a resource.

FHIR strings have no control characters but tab, line feed and carriage return, are never empty, and a narrative is
XHTML (FHIR R4 2.24.0.1, 2.4.0). What cannot be carried is shown as U+FFFD, so nobody takes the text for whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any, Final

from consumers.fhir.codes import Json
from schemas.terminology import Language

#: Control characters, lone surrogates and what XML 1.0 does not know.
_UNFIT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def fit(value: Any) -> Any:
    """A JSON value of a resource with all its texts fit for FHIR; empty texts, lists and objects are left out."""
    if isinstance(value, str):
        return _UNFIT.sub("\ufffd", value)
    if isinstance(value, list):
        return [item for item in map(fit, value) if not _empty(item)]
    if isinstance(value, dict):
        return {name: item for name, item in ((name, fit(one)) for name, one in value.items()) if not _empty(item)}
    return value


def narrative(sentences: Sequence[str], language: Language) -> Json:
    """Generated narrative (FHIR R4 2.4.0), one paragraph a sentence."""
    body = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
    start = f'<div xmlns="http://www.w3.org/1999/xhtml" lang="{language}" xml:lang="{language}">'
    return {"status": "generated", "div": f"{start}{body}</div>"}


def _empty(value: Any) -> bool:
    return (isinstance(value, str) and not value.strip()) or (isinstance(value, list | dict) and not value)
