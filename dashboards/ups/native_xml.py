"""Native DICOM Model in XML (PS3.19 A.1) → data set of the DICOM JSON model. Pure.

The other way is :mod:`producers.dicomweb.native_xml`. A document type, through which XML can expand,
is refused.
"""

from __future__ import annotations

import re
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError, fromstring

from dashboards.ups.model import Json

_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}")
_WHOLE: Final = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})
_REAL: Final = frozenset({"DS", "FD", "FL"})
_COMPONENTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")


def from_xml(body: bytes) -> Json:
    """Data set of a document.

    Raises
    ------
    ValueError
        It is no such document; says what is wrong.
    """
    # read as text first: in another encoding a document type could hide
    text = body.decode("utf-8-sig")
    if "<!DOCTYPE" in text:
        raise ValueError("a document type is not allowed")
    try:
        root = fromstring(text)  # noqa: S314 - without a document type nothing expands
    except ParseError as error:
        raise ValueError(f"no XML ({error})") from error
    if _name(root) != "NativeDicomModel":
        raise ValueError("the root is no NativeDicomModel")
    return _data_set(root)


def _data_set(parent: Element) -> Json:
    found: Json = {}
    for attribute in parent:
        tag, representation = attribute.get("tag", ""), attribute.get("vr", "")
        if _name(attribute) != "DicomAttribute" or not _TAG.fullmatch(tag) or len(representation) != 2:
            raise ValueError("an element is no DicomAttribute with tag and vr")
        values = [_value(child, representation) for child in attribute]
        found[tag.upper()] = {"vr": representation, **({"Value": values} if values else {})}
    return found


def _value(child: Element, representation: str) -> Any:
    match _name(child):
        case "Item" if representation == "SQ":
            return _data_set(child)
        case "PersonName" if representation == "PN":
            return {_name(group): _group(group) for group in child}
        case "Value" if representation not in ("SQ", "PN"):
            text = child.text or ""
            if representation in _WHOLE:
                return int(text)
            return float(text) if representation in _REAL else text
    raise ValueError(f"{_name(child)} is no value of {representation}")


def _group(group: Element) -> str:
    parts = {_name(part): part.text or "" for part in group}
    return "^".join(parts.get(name, "") for name in _COMPONENTS).rstrip("^")


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2]
