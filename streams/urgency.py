"""Words for urgency, most urgent first, to choose one of several. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

#: (0040,1003) Requested Procedure Priority (PS3.3 C.4.11), HL7 v2 tables 0027 and 0485 between its terms, and
#: words that are sent instead.
_URGENCY: Final = (
    *("STAT", "S", "EMERGENCY", "CITO", "ЦІТО", "ЦИТО", "УРГЕНТНО", "НЕВІДКЛАДНО", "T"),
    *("HIGH", "A", "ASAP", "URGENT", "ТЕРМІНОВО"),
    *("P", "MEDIUM", "NORMAL", "ROUTINE", "R", "ELECTIVE", "ПЛАНОВО"),
    "LOW",
)
#: Words so long are recognised where a text begins with them, such as "STAT 2".
_WORD: Final = 3


def most_urgent(words: Iterable[str | None]) -> str | None:
    """The word that is most urgent; of unknown ones, which come last, the lowest. ``None`` when there is none."""
    return min(filter(None, words), key=_rank, default=None)


def _rank(text: str) -> tuple[int, str]:
    term = text.strip().upper()
    if term in _URGENCY:
        return _URGENCY.index(term), text
    known = (rank for rank, word in enumerate(_URGENCY) if len(word) >= _WORD and term.startswith(word))
    return next(known, len(_URGENCY)), text
