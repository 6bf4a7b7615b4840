"""Keys of a C-FIND → a search of the index, and rows of it → matches (PS3.4 C.4.1, C.6). Pure.

A key that the index does not hold matches everything and comes back without a value, which the status of each
match says (FF01). Matches carry the requested keys, the unique keys, and where the match can be retrieved from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydicom.datadict import dictionary_VR

from producers.dimse.extended import Agreed
from producers.dimse.identifier import SPECIFIC_CHARACTER_SET, UNICODE, Element, Keys
from producers.dimse.model import (
    LEVELS,
    QUERY_RETRIEVE_LEVEL,
    UNIQUE_KEYS,
    QueryLevel,
    level_of,
    levels_of,
    require_unique_keys_above,
)
from producers.store.attributes import REQUEST_ATTRIBUTES_SEQUENCE, Attribute, Level
from producers.store.conditions import Matching
from producers.store.patients import PATIENT
from producers.store.query import matchable

_MODALITIES_IN_STUDY: Final = 0x00080061
_RETRIEVE_AE_TITLE: Final = 0x00080054
_INSTANCE_AVAILABILITY: Final = 0x00080056
_AVAILABLE_TRANSFER_SYNTAX: Final = 0x00083002
_IN_REQUEST: Final = {0x00400009: "ScheduledProcedureStepID", 0x00401001: "RequestedProcedureID"}
_PATIENT_COUNTS: Final = {
    0x00201200: "NumberOfPatientRelatedStudies",
    0x00201202: "NumberOfPatientRelatedSeries",
    0x00201204: "NumberOfPatientRelatedInstances",
}
_STUDY_COUNTS: Final = {
    0x00201206: "NumberOfStudyRelatedSeries",
    0x00201208: "NumberOfStudyRelatedInstances",
}
_SERIES_COUNTS: Final = {0x00201209: "NumberOfSeriesRelatedInstances"}
_COUNTS: Final[dict[QueryLevel, dict[int, str]]] = {
    "PATIENT": _PATIENT_COUNTS,
    "STUDY": _STUDY_COUNTS,
    "SERIES": _SERIES_COUNTS,
    "IMAGE": {},
}
#: What a row of the index is at each level; a patient is none of its own.
INDEX_LEVEL: Final[dict[QueryLevel, Level]] = {"STUDY": "study", "SERIES": "series", "IMAGE": "instance"}
#: They steer the query, and are in every match by themselves.
_CONTROL: Final = frozenset(
    (SPECIFIC_CHARACTER_SET, QUERY_RETRIEVE_LEVEL, _RETRIEVE_AE_TITLE, _INSTANCE_AVAILABILITY)
)


def _by_tag(level: QueryLevel) -> dict[int, Attribute]:
    """What a row of this level has; attributes of requests are in their sequence."""
    found = PATIENT if level == "PATIENT" else matchable(INDEX_LEVEL[level])
    return {attribute.tag: attribute for attribute in found.values() if attribute.tag not in _IN_REQUEST}


_ATTRIBUTES: Final = {level: _by_tag(level) for level in LEVELS}


@dataclass(frozen=True)
class FindQuery:
    """One search.

    Attributes
    ----------
    level
        What a match is.
    filters
        DICOM keyword → matching value.
    matching
        Ways of matching that were negotiated.
    requested
        Tags of the keys that a match carries.
    in_request
        Those in its item of Request Attributes Sequence.
    unique
        Unique keys of the level and those above.
    has_unsupported
        Whether there are keys that the index does not hold.
    """

    level: QueryLevel
    filters: Mapping[str, str]
    matching: Matching
    requested: tuple[int, ...]
    in_request: tuple[int, ...]
    unique: tuple[int, ...]
    has_unsupported: bool


def parse(keys: Keys, sop_class_uid: str, agreed: Agreed) -> FindQuery:
    """Search that an identifier asks for.

    Parameters
    ----------
    keys
        Identifier.
    sop_class_uid
        Information model.
    agreed
        Extended negotiation; without relational queries the upper unique keys must be there.

    Raises
    ------
    InvalidMessage
        The level is none of the model, or a unique key is missing.
    """
    level = level_of(keys, sop_class_uid)
    if not agreed.relational:
        require_unique_keys_above(keys, level, sop_class_uid)
    known = _ATTRIBUTES[level]
    filters: dict[str, str] = {}
    unsupported = False
    for tag, value in keys.values.items():
        if tag in _CONTROL:
            continue
        if tag in known:
            filters[known[tag].keyword] = value
        elif tag == _MODALITIES_IN_STUDY and level != "PATIENT":
            filters["ModalitiesInStudy"] = value
        else:
            is_shown = tag in _COUNTS[level] or (tag == _AVAILABLE_TRANSFER_SYNTAX and level == "IMAGE")
            unsupported = unsupported or not is_shown or value not in ("", "*")
    in_request: tuple[int, ...] = ()
    for tag, item in keys.items.items():
        if tag != REQUEST_ATTRIBUTES_SEQUENCE or level not in ("SERIES", "IMAGE"):
            unsupported = True
            continue
        in_request = tuple(item.values)
        filters |= {_IN_REQUEST[inner]: value for inner, value in item.values.items() if inner in _IN_REQUEST}
        unsupported = unsupported or bool(item.items) or any(inner not in _IN_REQUEST for inner in item.values)
    models = levels_of(sop_class_uid)
    return FindQuery(
        level=level,
        filters=filters,
        matching=agreed.matching,
        requested=tuple(tag for tag in (*keys.values, *keys.items) if tag not in _CONTROL),
        in_request=in_request,
        unique=tuple(UNIQUE_KEYS[name] for name in models[: models.index(level) + 1]),
        has_unsupported=unsupported,
    )


def match(query: FindQuery, row: Mapping[str, Any], ae_title: str) -> Iterable[Element]:
    """Attributes of one match.

    Parameters
    ----------
    query
        Says what was asked for.
    row
        Of the index.
    ae_title
        Ours, where the match can be retrieved from.
    """
    yield Element(SPECIFIC_CHARACTER_SET, "CS", UNICODE)
    yield Element(QUERY_RETRIEVE_LEVEL, "CS", query.level)
    yield Element(_RETRIEVE_AE_TITLE, "AE", ae_title)
    yield Element(_INSTANCE_AVAILABILITY, "CS", "ONLINE")
    for tag in dict.fromkeys((*query.unique, *query.requested)):
        if tag == REQUEST_ATTRIBUTES_SEQUENCE:
            yield Element(tag, "SQ", _request_items(query, row))
        elif (vr := _vr(tag)) is not None:
            yield Element(tag, vr, None if vr == "SQ" else _value(query, tag, row))


def identity(query: FindQuery, row: Mapping[str, Any]) -> tuple[object, ...]:
    """What makes a row another match than the others of its level."""
    if query.level == "PATIENT":
        return tuple(row[name] for name in ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate"))
    return (row[_ATTRIBUTES[query.level][UNIQUE_KEYS[query.level]].keyword],)


def _value(query: FindQuery, tag: int, row: Mapping[str, Any]) -> str | int | None:
    if tag == _MODALITIES_IN_STUDY:
        return "\\".join(sorted(str(row.get("ModalitiesInStudy") or "").split(",")))
    if tag == _AVAILABLE_TRANSFER_SYNTAX:
        return row.get("transfer_syntax_uid")
    name = _COUNTS[query.level].get(tag)
    if name is None:
        attribute = _ATTRIBUTES[query.level].get(tag)
        name = None if attribute is None else attribute.keyword
    found: str | int | None = None if name is None else row.get(name)
    return found


def _request_items(query: FindQuery, row: Mapping[str, Any]) -> list[list[Element]]:
    """The item of the request that led to the series, as far as it is known; none when nothing is."""
    found = [
        Element(tag, vr, row.get(_IN_REQUEST.get(tag, "")))
        for tag in query.in_request or tuple(_IN_REQUEST)
        if (vr := _vr(tag)) is not None
    ]
    return [found] if any(element.value for element in found) else []


def _vr(tag: int) -> str | None:
    """Value representation; ``None`` for what is not in the dictionary, such as private keys."""
    try:
        return dictionary_VR(tag).partition(" ")[0]
    except KeyError:
        return None


def rows_seen(seen: set[int], query: FindQuery, rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Rows that no earlier page had: what is stored meanwhile moves the others to later pages."""
    for row in rows:
        number = hash(identity(query, row))
        if number not in seen:
            seen.add(number)
            yield row
