"""Matching keys → SQL, by the rules of PS3.4 C.2.2.2 (single value, UID list, wildcard, range, universal).

Pure: builds text and parameters. Serves QIDO-RS and C-FIND alike. Values are always parameters, column names
always come from the attribute tables. Keys of a parent are looked up in the parent's table first, and counts are
made for the rows of the page only, so a search costs what it returns and not what the index holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from producers.store.attributes import LEVELS, Attribute, Level
from producers.store.conditions import (
    LITERAL,
    Matching,
    Parameter,
    combined_datetimes,
    condition,
    listed,
    marks,
)
from schemas.errors import InvalidMessage

_TABLE: Final[dict[Level, str]] = {"study": "studies", "series": "series", "instance": "instances"}
_JOINS: Final[dict[Level, str]] = {
    "study": "",
    "series": " JOIN studies USING (StudyInstanceUID)",
    "instance": (" JOIN series USING (StudyInstanceUID, SeriesInstanceUID) JOIN studies USING (StudyInstanceUID)"),
}
_LEVELS: Final[dict[Level, tuple[Level, ...]]] = {
    "study": ("study",),
    "series": ("study", "series"),
    "instance": ("study", "series", "instance"),
}
#: How a row names its parent.
_PARENT_KEY: Final[dict[Level, str]] = {
    "study": "StudyInstanceUID",
    "series": "(StudyInstanceUID, SeriesInstanceUID)",
}
_PARENT_COLUMNS: Final[dict[Level, str]] = {
    "study": "StudyInstanceUID",
    "series": "StudyInstanceUID, SeriesInstanceUID",
}
_COUNTED: Final[dict[Level, str]] = {
    "study": (
        ", (SELECT group_concat(DISTINCT Modality) FROM series AS s"
        " WHERE s.StudyInstanceUID = studies.StudyInstanceUID) AS ModalitiesInStudy"
        ", (SELECT count(*) FROM series AS s WHERE s.StudyInstanceUID = studies.StudyInstanceUID)"
        " AS NumberOfStudyRelatedSeries"
        ", (SELECT count(*) FROM instances AS i WHERE i.StudyInstanceUID = studies.StudyInstanceUID)"
        " AS NumberOfStudyRelatedInstances"
    ),
    "series": (
        ", (SELECT count(*) FROM instances AS i WHERE i.StudyInstanceUID = series.StudyInstanceUID"
        " AND i.SeriesInstanceUID = series.SeriesInstanceUID) AS NumberOfSeriesRelatedInstances"
    ),
    "instance": ", transfer_syntax_uid",
}
_ORDER: Final[dict[Level, str]] = {
    "study": "first_stored_at DESC, StudyInstanceUID",
    "series": "StudyInstanceUID, SeriesNumber, SeriesInstanceUID",
    "instance": "StudyInstanceUID, SeriesInstanceUID, InstanceNumber, SOPInstanceUID",
}
_HAS_MODALITY: Final = (
    "EXISTS (SELECT 1 FROM series AS m WHERE m.StudyInstanceUID = {study} AND m.Modality IN ({marks}))"
)


def matchable(level: Level) -> dict[str, Attribute]:
    """Attributes by keyword that may be matched at a level; ``ModalitiesInStudy`` is matched besides."""
    return {attribute.keyword: attribute for parent in _LEVELS[level] for attribute in LEVELS[parent]}


def build(
    level: Level, filters: Mapping[str, str], limit: int | None, offset: int, matching: Matching = LITERAL
) -> tuple[str, list[Parameter]]:
    """SQL and parameters of one query.

    Parameters
    ----------
    level
        What a row is.
    filters
        DICOM keyword → matching value as it stands in the query; empty or ``*`` matches everything. UID lists
        are separated by backslash or comma.
    limit, offset
        Page; ``None`` is all.
    matching
        Ways of matching beyond the literal one.

    Raises
    ------
    InvalidMessage
        A keyword cannot be matched at this level, or its value is none of its value representation.
    """
    where, parameters = _where(level, filters, matching)
    columns = ", ".join(f'"{name}"' for name in matchable(level))
    table, order = _TABLE[level], _ORDER[level]
    page = f"SELECT * FROM {table}{where} ORDER BY {order} LIMIT ? OFFSET ?"  # noqa: S608 - our own tables
    text = (
        f"SELECT {columns}{_COUNTED[level]} "  # noqa: S608 - names of our own tables
        f"FROM ({page}) AS {table}{_JOINS[level]} ORDER BY {order}"
    )
    return text, [*parameters, -1 if limit is None else limit, offset]


def build_count(
    level: Level, filters: Mapping[str, str], most: int, matching: Matching = LITERAL
) -> tuple[str, list[Parameter]]:
    """SQL and parameters that count what matches, up to ``most``; see :func:`build`."""
    where, parameters = _where(level, filters, matching)
    text = f"SELECT count(*) FROM (SELECT 1 FROM {_TABLE[level]}{where} LIMIT ?)"  # noqa: S608 - our own tables
    return text, [*parameters, most]


def _where(level: Level, filters: Mapping[str, str], matching: Matching) -> tuple[str, list[Parameter]]:
    known = matchable(level)
    for keyword in filters:
        if keyword not in known and keyword != "ModalitiesInStudy":
            raise InvalidMessage(f"{keyword} cannot be matched at {level} level: see the conformance statement")
    own = _own_keywords(level)
    wheres: list[str] = []
    parameters: list[Parameter] = []
    for parent in _LEVELS[level]:
        names = own if parent == level else {item.keyword for item in LEVELS[parent]} - own
        texts, values = _conditions(
            {keyword: filters[keyword] for keyword in filters if keyword in names}, known, matching
        )
        parameters += values
        if parent == level:
            wheres += texts
        elif texts:
            wheres.append(
                f"{_PARENT_KEY[parent]} IN (SELECT {_PARENT_COLUMNS[parent]} "  # noqa: S608 - our own tables
                f"FROM {_TABLE[parent]} WHERE {' AND '.join(texts)})"
            )
    if filters.get("ModalitiesInStudy", "*") not in ("", "*"):
        modalities = listed(filters["ModalitiesInStudy"])
        for wanted in [[one] for one in modalities] if matching.multiple_values else [modalities]:
            wheres.append(_HAS_MODALITY.format(study=f"{_TABLE[level]}.StudyInstanceUID", marks=marks(wanted)))
        parameters += modalities
    return (f" WHERE {' AND '.join(wheres)}" if wheres else ""), parameters


def _own_keywords(level: Level) -> set[str]:
    """Keywords that are columns of the level's own table, its parents' UIDs among them."""
    uids = {LEVELS[parent][0].keyword for parent in _LEVELS[level]}
    return {attribute.keyword for attribute in LEVELS[level]} | uids


def _conditions(
    filters: Mapping[str, str], known: Mapping[str, Attribute], matching: Matching
) -> tuple[list[str], list[Parameter]]:
    texts: list[str] = []
    parameters: list[Parameter] = []
    remaining = dict(filters)
    if matching.combined_datetime:
        for text, values in combined_datetimes(remaining):
            texts.append(text)
            parameters += values
    for keyword, value in remaining.items():
        if value in ("", "*"):
            continue
        text, values = condition(known[keyword], value, matching)
        texts.append(text)
        parameters += values
    return texts, parameters
