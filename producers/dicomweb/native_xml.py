"""DICOM JSON object → Native DICOM Model in XML (PS3.19 A.1), for clients that read no JSON. Pure.

Characters that XML 1.0 cannot hold, such as the control characters of old equipment, are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from xml.etree.ElementTree import Element, SubElement, tostring

from pydicom.datadict import keyword_for_tag

from producers.dicomweb.dicom_json import Json

NAMESPACE: Final = "http://dicom.nema.org/PS3.19/models/NativeDICOM"

_NO_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COMPONENTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")


def to_xml(document: Json) -> bytes:
    """XML document of a data set."""
    root = Element("NativeDicomModel", {"xmlns": NAMESPACE, "xml:space": "preserve"})
    _add(root, document)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True))


def _add(parent: Element, document: Json) -> None:
    for tag, attribute in document.items():
        names = {"tag": tag, "vr": str(attribute["vr"]), "keyword": keyword_for_tag(int(tag, 16))}
        creator = _private_creator(document, tag)
        if creator:
            names["privateCreator"] = _text(creator)
        element = SubElement(parent, "DicomAttribute", {name: text for name, text in names.items() if text})
        if "BulkDataURI" in attribute:
            SubElement(element, "BulkData", {"uri": str(attribute["BulkDataURI"])})
        elif "InlineBinary" in attribute:
            SubElement(element, "InlineBinary").text = str(attribute["InlineBinary"])
        else:
            _add_values(element, names["vr"], attribute.get("Value", ()))


def _add_values(element: Element, vr: str, values: Sequence[Any]) -> None:
    for position, value in enumerate(values, start=1):
        number = {"number": str(position)}
        if value is None:
            continue
        if vr == "SQ":
            _add(SubElement(element, "Item", number), value)
        elif vr == "PN":
            _add_name(SubElement(element, "PersonName", number), value)
        else:
            SubElement(element, "Value", number).text = _text(str(value))


def _add_name(element: Element, name: Mapping[str, str]) -> None:
    for group, text in name.items():
        parent = SubElement(element, group)
        for component, part in zip(_COMPONENTS, text.split("^"), strict=False):
            if part:
                SubElement(parent, component).text = _text(part)


def _private_creator(document: Json, tag: str) -> str | None:
    """Who defined a private element: (gggg,00bb) for (gggg,bbee) (PS3.5 7.8.1)."""
    if int(tag[:4], 16) % 2 == 0 or tag[4:6] == "00":
        return None
    values = document.get(f"{tag[:4]}00{tag[4:6]}", {}).get("Value", ())
    return str(values[0]) if values else None


def _text(text: str) -> str:
    return _NO_XML.sub("", text)
