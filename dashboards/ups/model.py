"""Keywords and values ↔ data set of the DICOM JSON model (PS3.18 F). Pure.

A search answers with up to a thousand workitems, so they are written as JSON at once: the library's data sets take
forty times as long, and every request waits for them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

Json = dict[str, Any]

#: Text, number, or the items of a sequence; ``None`` and "" are no value (type 2).
Value = str | int | float | list[Json] | None


@cache
def place(keyword: str) -> tuple[str, str]:
    """Tag in hexadecimal digits, and value representation."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(f"no attribute has the keyword {keyword}")
    return f"{tag:08X}", dictionary_VR(tag)


def dataset(**elements: Value) -> Json:
    """Data set of these elements, in the order of their tags."""
    found: Json = {}
    for keyword, value in elements.items():
        tag, representation = place(keyword)
        values = value if isinstance(value, list) else [] if value in (None, "") else [value]
        found[tag] = {"vr": representation, "Value": values} if values else {"vr": representation}
    return dict(sorted(found.items()))


def value_of(item: Json, keyword: str) -> Any:
    """First value of an element, or ``None``."""
    values = item.get(place(keyword)[0], {}).get("Value")
    return values[0] if values else None
