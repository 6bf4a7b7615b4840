"""Query parameters of QIDO-RS → a query (PS3.18 8.3.4 and 10.6). Pure.

Keys are keywords or tags; an attribute that nobody knows is an error with a sentence, never ignored, because a
filter that is silently dropped answers with other people's studies. Dates and times match as one range of moments
(8.3.4.1.1), person names as :mod:`producers.store.person_name` says. What is answered otherwise than it was asked
for goes into ``warnings``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydicom.datadict import keyword_for_tag, tag_for_keyword

from producers.dicomweb.dicom_json import key
from producers.dicomweb.search_result import COUNTS, PARENTS
from producers.store import Matching
from producers.store.attributes import LEVELS, REQUEST_ATTRIBUTES_SEQUENCE, Level
from schemas.errors import InvalidMessage

#: Never more in one response; the client is told to page.
MAX_RESULTS: Final = 10_000

_OPTIONS: Final = frozenset(
    (
        "accept",
        "charset",
        "emptyvaluematching",
        "fuzzymatching",
        "includefield",
        "limit",
        "multiplevaluematching",
        "offset",
    )
)
_ALL: Final = "all"


@dataclass(frozen=True)
class QidoQuery:
    """One search.

    Attributes
    ----------
    filters
        DICOM keyword → matching value.
    shown
        Levels whose attributes a result carries.
    limit, offset
        Page.
    warnings
        Sentences for ``Warning`` header fields: what was asked for and is not done.
    matching
        How keys match.
    included
        Tags of attributes that the index does not hold and that were asked for.
    everything
        Whether every attribute of an instance was asked for.
    """

    filters: Mapping[str, str]
    shown: tuple[Level, ...]
    limit: int
    offset: int
    warnings: tuple[str, ...]
    matching: Matching = field(default_factory=Matching)
    included: tuple[int, ...] = ()
    everything: bool = False

    @property
    def needs_files(self) -> bool:
        """Whether the index alone cannot answer."""
        return bool(self.included) or self.everything


def parse_query(level: Level, parameters: Iterable[tuple[str, str]], path: Mapping[str, str]) -> QidoQuery:
    """Query of a request.

    Parameters
    ----------
    level
        What a result is.
    parameters
        Query parameters in order, percent-decoded.
    path
        Keyword → UID that the path of the URL names.

    Raises
    ------
    InvalidMessage
        An attribute is unknown or given twice, or an option has no such value.
    """
    filters = dict(path)
    options: dict[str, str] = {}
    names: list[str] = []
    for name, text in parameters:
        if name.lower() in _OPTIONS:
            if name.lower() == "includefield":
                names += [part.strip() for part in text.split(",") if part.strip()]
            options[name.lower()] = text
            continue
        keyword = keyword_of(name)
        if keyword in filters and filters[keyword] != text:
            raise InvalidMessage(f"{keyword} is given twice: send one value, or a list of UIDs in it")
        filters[keyword] = text
    warnings = []
    matching = Matching(
        fuzzy_names=_switch(options, "fuzzymatching"),
        combined_datetime=True,
        empty_values=_switch(options, "emptyvaluematching"),
        multiple_values=_switch(options, "multiplevaluematching"),
    )
    shown, included = _shown(level, path, names)
    if included and level != "instance":
        tags = ", ".join(keyword_for_tag(tag) or key(tag) for tag in included)
        warnings.append(f"These attributes are those of one instance of each {level}: {tags}")
    limit = _whole(options, "limit", MAX_RESULTS)
    return QidoQuery(
        filters,
        shown,
        min(limit, MAX_RESULTS),
        _whole(options, "offset", 0),
        tuple(warnings),
        matching,
        included,
        everything=level == "instance" and _ALL in names,
    )


def keyword_of(name: str) -> str:
    """DICOM keyword of a query key: a keyword, a tag of eight hexadecimal digits, or one in the request sequence.

    Raises
    ------
    InvalidMessage
        No attribute has that name.
    """
    sequence, dot, last = name.rpartition(".")
    if dot and _tag_of(sequence) != REQUEST_ATTRIBUTES_SEQUENCE:
        raise InvalidMessage(f"{name[:64]}: inside sequences only RequestAttributesSequence can be matched")
    keyword = keyword_for_tag(_tag_of(last)) if _tag_of(last) else ""
    if not keyword:
        raise InvalidMessage(
            f"{name[:64]} is not in the DICOM dictionary: use a keyword such as PatientID or a tag like 00100020"
        )
    return keyword


def _tag_of(name: str) -> int:
    if len(name) == 8 and all(character in "0123456789abcdefABCDEF" for character in name):
        return int(name, 16)
    return tag_for_keyword(name) or 0


def _shown(
    level: Level, path: Mapping[str, str], names: Iterable[str]
) -> tuple[tuple[Level, ...], tuple[int, ...]]:
    """Levels in a result (its own, those that the path leaves open, those of included attributes), other tags."""
    named = {"study": "StudyInstanceUID" in path, "series": "SeriesInstanceUID" in path, "instance": False}
    shown = {item for item in PARENTS[level] if item == level or not named[item]}
    others: dict[int, None] = {}
    for name in names:
        if name == _ALL:
            shown |= set(PARENTS[level])
            continue
        tag = _included_tag(name)
        homes = [item for item in PARENTS[level] if tag in {attribute.tag for attribute in LEVELS[item]}]
        if homes:
            shown |= set(homes)
        elif tag not in _ANSWERED:
            others[tag] = None
    return tuple(item for item in PARENTS[level] if item in shown), tuple(others)


def _included_tag(name: str) -> int:
    """Tag of an attribute to include, private ones too; of one inside a sequence it is the sequence's."""
    tag = _tag_of(name.partition(".")[0])
    if not tag or (tag >> 16) <= 0x0007:
        raise InvalidMessage(
            f"includefield {name[:64]} is not in the DICOM dictionary: use a keyword such as PatientAge, or a tag"
        )
    return tag


_ANSWERED: Final = frozenset(
    {tag for _, tag in COUNTS}
    | {tag_for_keyword(name) for name in ("SpecificCharacterSet", "InstanceAvailability", "RetrieveURL")}
    | {tag_for_keyword(name) for name in ("ModalitiesInStudy", "AvailableTransferSyntaxUID")}
)


def _switch(options: Mapping[str, str], name: str) -> bool:
    text = options.get(name, "false").lower()
    if text not in ("true", "false"):
        raise InvalidMessage(f"{name} must be true or false")
    return text == "true"


def _whole(options: Mapping[str, str], name: str, default: int) -> int:
    text = options.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise InvalidMessage(f"{name} must be a whole number from 0 on")
    return int(text)
