"""Data set → DICOM JSON Model (PS3.18 F) without bulk data: large binary values become a ``BulkDataURI``.

Reading is tolerant: a value that is not valid for its VR is sent as the text that it is, never dropped and never
a failure of the whole study. Text is Unicode, so Specific Character Set is always ISO_IR 192.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Container, Iterator, Mapping
from typing import Any, Final

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import PersonName

from producers.store.charset import encodings_of, text_of

#: Binary values longer than this go by reference.
INLINE_BYTES: Final = 1024

#: Pixel data in its three forms always goes by reference.
PIXEL_DATA: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})

_BINARY: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW", "OW or OB"})
_TEXT: Final = frozenset(
    ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
)
_INTEGER: Final = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV", "US or SS", "US or SS or OW"})
_REAL: Final = frozenset({"DS", "FL", "FD"})
_SPECIFIC_CHARACTER_SET: Final = 0x00080005

Json = dict[str, dict[str, Any]]


def to_json(data_set: Dataset, bulk_url: str, only: Container[int] | None = None) -> Json:
    """DICOM JSON object of a data set.

    Parameters
    ----------
    data_set
        As read; group lengths are left out.
    bulk_url
        URL below which bulk data is served; the path to an element is appended: its tag, or inside sequences
        ``tag/item/tag`` with items counted from 1.
    only
        Tags to convert; ``None`` is all.
    """
    return dict(_elements(data_set, bulk_url, only))


def key(tag: int) -> str:
    """Name of an attribute in DICOM JSON: eight hexadecimal digits."""
    return f"{tag:08X}"


def value(vr: str, *values: str | int | Mapping[str, Any]) -> dict[str, Any]:
    """One attribute with its values; without any it is present and empty."""
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def person_name(text: str) -> dict[str, str]:
    """Component groups of a person name (PS3.18 F.2.2), empty ones left out."""
    groups = zip(("Alphabetic", "Ideographic", "Phonetic"), text.split("="), strict=False)
    return {name: group for name, group in groups if group}


def _elements(
    data_set: Dataset, bulk_url: str, only: Container[int] | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    for tag in sorted(data_set.keys()):
        if only is not None and tag not in only:
            continue
        if tag.element == 0 or tag.group <= 0x0007:
            continue  # group lengths, command and file meta elements are no attributes of the data set
        if tag == _SPECIFIC_CHARACTER_SET:
            yield key(tag), value("CS", "ISO_IR 192")
            continue
        try:
            yield key(tag), _element(data_set[tag], f"{bulk_url}/{key(tag)}")
        except Exception:  # noqa: BLE001 - whatever pydicom says of an invalid value, the rest must be readable
            yield key(tag), _as_received(data_set, tag, f"{bulk_url}/{key(tag)}")


def _element(element: DataElement, url: str) -> dict[str, Any]:
    vr = str(element.VR)
    if vr == "SQ":
        items = [to_json(item, f"{url}/{number}") for number, item in enumerate(element.value, start=1)]
        return {"vr": vr, "Value": items} if items else {"vr": vr}
    if vr in _BINARY:
        return _binary("OW" if " " in vr else vr, element.value, url, element.tag in PIXEL_DATA)
    multiplicity = element.VM
    if multiplicity == 0:
        return {"vr": _settled(vr)}
    values = element.value if multiplicity > 1 else [element.value]
    return {"vr": _settled(vr), "Value": [_json_value(vr, item) for item in values]}


def _settled(vr: str) -> str:
    return vr.partition(" ")[0]


def _binary(vr: str, data: bytes | None, url: str, always_by_reference: bool) -> dict[str, Any]:
    if not data and not always_by_reference:
        return {"vr": vr}
    if data and len(data) <= INLINE_BYTES and not always_by_reference:
        return {"vr": vr, "InlineBinary": base64.b64encode(data).decode("ascii")}
    return {"vr": vr, "BulkDataURI": url}


def _json_value(vr: str, item: Any) -> Any:
    if item is None or item == "":
        return None
    if vr == "PN":
        return person_name(str(item)) if isinstance(item, PersonName | str) else None
    if vr == "AT":
        return key(int(item))
    if vr in _INTEGER:
        # JSON numbers end at 64 bits, and an integer string of a stranger may be longer or no integer.
        return int(item) if item == int(item) and -(2**63) <= int(item) < 2**64 else str(item)
    if vr in _REAL:
        number = float(item)
        return number if math.isfinite(number) else str(item)
    return str(item)


def _as_received(data_set: Dataset, tag: BaseTag, url: str) -> dict[str, Any]:
    """A value that pydicom cannot convert, as the text or bytes that were received."""
    raw: Any = data_set.get_item(tag)
    vr = _settled(str(raw.VR or "UN"))
    if isinstance(raw, DataElement) and vr in _TEXT and not raw.is_empty:
        values = raw.value if raw.VM > 1 else [raw.value]
        return {"vr": vr, "Value": [str(item) or None for item in values]}
    if not isinstance(raw.value, bytes) or not raw.value:
        return {"vr": vr}
    if vr not in _TEXT:
        return _binary("UN", raw.value, url, False)
    declared: Any = data_set.get_item(_SPECIFIC_CHARACTER_SET) if _SPECIFIC_CHARACTER_SET in data_set else None
    encodings = encodings_of(declared.value if isinstance(declared, RawDataElement) else None)
    return {"vr": vr, "Value": [text_of(part, encodings) or None for part in raw.value.split(b"\\")]}
