"""Keywords and values ↔ data set of the DICOM JSON model (PS3.18 F). Pure.

A search answers with up to a thousand workitems, so they are written as JSON at once: the library's data sets take
forty times as long, and every request waits for them.
"""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

from pydicom.datadict import dictionary_VR, tag_for_keyword

Json = dict[str, Any]

#: Text, number, or the items of a sequence; ``None`` and "" are no value (type 2).
Value = str | int | float | list[Json] | None


class _Places(dict[str, tuple[str, str]]):
    """Keyword → tag in hexadecimal digits, and value representation; each is looked up once."""

    def __missing__(self, keyword: str) -> tuple[str, str]:
        tag = tag_for_keyword(keyword)
        if tag is None:
            raise KeyError(f"no attribute has the keyword {keyword}")
        self[keyword] = f"{tag:08X}", dictionary_VR(tag)
        return self[keyword]


PLACES: Final = _Places()


def dataset(**elements: Value) -> Json:
    """Data set of these elements, in the order of their tags."""
    found: Json = {}
    for keyword, tag, representation in _in_order(tuple(elements)):
        value = elements[keyword]
        if value is None or value == "" or value == []:
            found[tag] = {"vr": representation}
        else:
            found[tag] = {"vr": representation, "Value": value if type(value) is list else [value]}
    return found


@lru_cache(1_000)
def _in_order(keywords: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """Keyword, tag and value representation of each, by tag; the same few sets of keywords come again."""
    return sorted(((keyword, *PLACES[keyword]) for keyword in keywords), key=itemgetter(1))


def value_of(item: Json, keyword: str) -> Any:
    """First value of an element, or ``None``."""
    values = item.get(PLACES[keyword][0], {}).get("Value")
    return values[0] if values else None
