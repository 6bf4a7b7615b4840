"""Words for urgency, most urgent first, to choose one of several. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

#: (0040,1003) Requested Procedure Priority (PS3.3 C.4.11), and HL7 v2 tables 0027 and 0485 between its terms.
_URGENCY: Final = (
    "STAT",
    "S",
    "EMERGENCY",
    "T",
    "HIGH",
    "A",
    "ASAP",
    "URGENT",
    "P",
    "MEDIUM",
    "ROUTINE",
    "R",
    "LOW",
)


def most_urgent(words: Iterable[str | None]) -> str | None:
    """The word that is most urgent; of unknown ones, which come last, the lowest. ``None`` when there is none."""
    return min(filter(None, words), key=_rank, default=None)


def _rank(text: str) -> tuple[int, str]:
    term = text.strip().upper()
    return (_URGENCY.index(term) if term in _URGENCY else len(_URGENCY), text)
