"""``Content-Type`` and ``Accept`` header fields → media types, and the choice among them (RFC 9110 12.5.1).

DICOMweb puts quoted strings with ``/`` and ``;`` into parameters (``type="application/dicom"``), so the fields are
read token by token and never split blindly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

DICOM: Final = "application/dicom"
DICOM_JSON: Final = "application/dicom+json"
DICOM_XML: Final = "application/dicom+xml"
JSON: Final = "application/json"
OCTET_STREAM: Final = "application/octet-stream"
MULTIPART_RELATED: Final = "multipart/related"

_TYPE = re.compile(r"\s*([!#$%&'*+.^_`|~\w-]+/[!#$%&'*+.^_`|~\w-]+|\*)\s*", re.ASCII)
_PARAMETER = re.compile(r";\s*(?:([!#$%&'*+.^_`|~\w-]+)\s*=\s*(\"(?:[^\"\\]|\\.)*\"|[^\s;,\"]*))?\s*", re.ASCII)


@dataclass(frozen=True)
class MediaType:
    """A media type or range: names in lower case, parameter values as they are, quality 0 to 1.

    ``refused`` are types that the same field excludes from every range (``q=0``).
    """

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    quality: float = 1.0
    refused: frozenset[str] = frozenset()

    def matches(self, name: str) -> bool:
        """Whether the concrete type ``name`` lies in this range."""
        if name in self.refused:
            return False
        return self.name in ("*/*", name) or (self.name.endswith("/*") and name.startswith(self.name[:-1]))


def parse_media_type(value: str) -> MediaType | None:
    """One media type with its parameters; ``None`` when the text is none."""
    parsed = _parse_at(value, 0)
    if parsed is None or parsed[1] != len(value):
        return None
    return parsed[0]


def parse_accept(value: str | None) -> tuple[MediaType, ...]:
    """Media ranges of an ``Accept`` field, best first; what cannot be read is passed over.

    An absent or empty field accepts everything (RFC 9110 12.5.1).
    """
    if not value or not value.strip():
        return (MediaType("*/*"),)
    ranges: list[MediaType] = []
    position = 0
    while position < len(value):
        parsed = _parse_at(value, position)
        if parsed is None:
            position = value.find(",", position) + 1 or len(value)
            continue
        media_type, position = parsed
        ranges.append(media_type)
        position = value.find(",", position) + 1 or len(value)
    refused = frozenset(item.name for item in ranges if item.quality == 0 and not item.parameters)
    taken = [replace(item, refused=refused) for item in ranges if item.quality > 0]
    return tuple(sorted(taken, key=lambda item: -item.quality))


def choose(accepted: Iterable[MediaType], offered: Iterable[str]) -> str | None:
    """First of the offered types that the best matching range accepts; ``None`` when there is none."""
    offers = tuple(offered)
    for media_range in accepted:
        for offer in offers:
            if media_range.matches(offer):
                return offer
    return None


def _parse_at(value: str, position: int) -> tuple[MediaType, int] | None:
    matched = _TYPE.match(value, position)
    if matched is None:
        return None
    name = matched[1].lower()
    parameters: dict[str, str] = {}
    end = matched.end()
    while parameter := _PARAMETER.match(value, end):
        end = parameter.end()
        if parameter[1]:
            text = parameter[2]
            parameters[parameter[1].lower()] = (
                re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
            )
    quality = _quality(parameters.pop("q", "1"))
    return MediaType("*/*" if name == "*" else name, parameters, quality), end


def _quality(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 1.0
