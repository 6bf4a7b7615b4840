"""Keywords and values ↔ data set of the DICOM JSON model (PS3.18 F). Pure.

A search answers with up to a thousand workitems, so they are written as JSON at once: the library's data sets take
forty times as long, and every request waits for them.
"""

from __future__ import annotations

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
    for keyword, value in elements.items():
        tag, representation = PLACES[keyword]
        if value is None or value in ("", []):
            found[tag] = {"vr": representation}
        else:
            found[tag] = {"vr": representation, "Value": value if isinstance(value, list) else [value]}
    return dict(sorted(found.items()))


def value_of(item: Json, keyword: str) -> Any:
    """First value of an element, or ``None``."""
    values = item.get(PLACES[keyword][0], {}).get("Value")
    return values[0] if values else None
