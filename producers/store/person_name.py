"""Person names → whether they match a key: as it is written, or nearly so (PS3.4 C.2.2.2.1, PS3.18 8.3.4.2). Pure.

Both ways look at each of the three component groups by itself, so a key in any script finds a name that is also
written in another, and both ignore case.

- Literal: the key's characters with the wildcards ``*`` and ``?``. Components that the key does not give match
  everything: ``Smith`` finds ``Smith^John`` and not ``Smithson^John``.
- Fuzzy: diacritics and apostrophes do not count, nor does the order of components. Every word of the key must
  begin a word of the name: ``taras shev`` finds ``Shevchenko^Taras``, ``гудз`` finds ``Ґудзь^Євгенія``. Nothing is
  transliterated: a key in Latin letters finds a name that is written in Latin letters.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from producers.store.wildcards import expression

#: Letters that Unicode does not decompose into a base letter and a mark, but that people type without it.
_BASE_LETTERS: Final = str.maketrans(
    {"ґ": "г", "ł": "l", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)
_APOSTROPHES: Final = re.compile("['`\u2018\u2019\u02bc\u00b4\u02b9]")
_WORD: Final = re.compile(r"[\w*?]+")


def literal(name: str, key: str) -> bool:
    """Whether a name matches a key as it is written.

    Parameters
    ----------
    name
        Value of a PN attribute; several values are separated by backslash.
    key
        Matching key, with wildcards.
    """
    patterns = _literal_patterns(key)
    return any(pattern.fullmatch(group) for group in _groups(name.casefold()) for pattern in patterns)


def fuzzy(name: str, key: str) -> bool:
    """Whether each word of a key begins a word of one component group of the name; see the module."""
    words = _fuzzy_patterns(key)
    return any(
        all(any(pattern.match(word) for word in group) for pattern in words) for group in _folded_words(name)
    )


def _groups(text: str) -> list[str]:
    return [group.rstrip("^ ") for value in text.split("\\") for group in value.split("=")]


@lru_cache(maxsize=256)
def _literal_patterns(key: str) -> tuple[re.Pattern[str], ...]:
    groups = [group for group in _groups(key.casefold()) if group]
    return tuple(re.compile(f"{expression(group)}(\\^.*)?", re.DOTALL) for group in groups)


@lru_cache(maxsize=256)
def _fuzzy_patterns(key: str) -> tuple[re.Pattern[str], ...]:
    words = dict.fromkeys(word.rstrip("*") for word in _WORD.findall(_folded(key)))
    return tuple(re.compile(expression(word)) for word in words if word)


@lru_cache(maxsize=65_536)
def _folded_words(name: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(_WORD.findall(group)) for group in _groups(_folded(name)))


def _folded(text: str) -> str:
    """Lower case without diacritics and apostrophes."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(character for character in decomposed if not unicodedata.combining(character))
    return _APOSTROPHES.sub("", bare).translate(_BASE_LETTERS)
