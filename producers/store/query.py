"""Matching keys → SQL, by the rules of PS3.4 C.2.2.2 (single value, UID list, wildcard, range, universal).

Pure: builds text and parameters. Serves QIDO-RS and C-FIND alike. Values are always parameters, column names
always come from the attribute tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from producers.store.attributes import INSTANCE, SERIES, STUDY, Attribute, Level
from schemas.errors import InvalidMessage

_PARENTS: Final[dict[Level, str]] = {
    "study": "studies",
    "series": "series JOIN studies USING (StudyInstanceUID)",
    "instance": (
        "instances JOIN series USING (StudyInstanceUID, SeriesInstanceUID) JOIN studies USING (StudyInstanceUID)"
    ),
}
_VISIBLE: Final[dict[Level, tuple[Attribute, ...]]] = {
    "study": STUDY,
    "series": (*STUDY, *SERIES),
    "instance": (*STUDY, *SERIES, *INSTANCE),
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
    "EXISTS (SELECT 1 FROM series AS m WHERE m.StudyInstanceUID = studies.StudyInstanceUID AND m.Modality"
)
_RANGED: Final = frozenset({"DA", "TM"})

Parameter = str | int


def matchable(level: Level) -> dict[str, Attribute]:
    """Attributes by keyword that may be matched at a level; ``ModalitiesInStudy`` is matched besides."""
    return {attribute.keyword: attribute for attribute in _VISIBLE[level]}


def build(level: Level, filters: Mapping[str, str], limit: int | None, offset: int) -> tuple[str, list[Parameter]]:
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

    Raises
    ------
    InvalidMessage
        A keyword cannot be matched at this level, or a number is none.
    """
    attributes = matchable(level)
    where: list[str] = []
    parameters: list[Parameter] = []
    for keyword, value in filters.items():
        if value in ("", "*"):
            continue
        if keyword == "ModalitiesInStudy":
            where.append(f"{_HAS_MODALITY} IN ({_marks(_listed(value))}))")
            parameters += _listed(value)
            continue
        attribute = attributes.get(keyword)
        if attribute is None:
            raise InvalidMessage(f"{keyword} cannot be matched at {level} level: see the conformance statement")
        condition, values = _condition(attribute, value)
        where.append(condition)
        parameters += values
    columns = ", ".join(f'"{name}"' for name in attributes)
    text = f"SELECT {columns}{_COUNTED[level]} FROM {_PARENTS[level]}"  # noqa: S608 - names of our own tables
    if where:
        text += f" WHERE {' AND '.join(where)}"
    text += f" ORDER BY {_ORDER[level]} LIMIT ? OFFSET ?"
    return text, [*parameters, -1 if limit is None else limit, offset]


def _condition(attribute: Attribute, value: str) -> tuple[str, list[Parameter]]:
    column = f'"{attribute.keyword}"'
    if attribute.vr == "UI":
        uids = _listed(value)
        return f"{column} IN ({_marks(uids)})", [*uids]
    if attribute.is_number:
        try:
            return f"{column} = ?", [int(value)]
        except ValueError:
            raise InvalidMessage(f"{attribute.keyword} must be a whole number") from None
    if attribute.vr in _RANGED:
        return _range(column, attribute.vr, value)
    if attribute.vr == "PN":
        return f"casefold({column}) GLOB ?", [_glob(value.casefold()) + ("" if value.endswith("*") else "*")]
    if "*" in value or "?" in value:
        return f"{column} GLOB ?", [_glob(value)]
    return f"{column} = ?", [value]


def _range(column: str, vr: str, value: str) -> tuple[str, list[Parameter]]:
    """Range matching (PS3.4 C.2.2.2.5); a time of less precision covers all times that begin with it."""
    low, dash, high = value.partition("-")
    if not dash:
        low = high = value
    conditions: list[str] = []
    parameters: list[Parameter] = []
    if low:
        conditions.append(f"{column} >= ?")
        parameters.append(low)
    if high:
        conditions.append(f"{column} <= ?")
        parameters.append(high if vr == "DA" else f"{high}~")
    return f"({' AND '.join(conditions) or '1'})", parameters


def _listed(value: str) -> list[str]:
    return [part.strip() for part in value.replace("\\", ",").split(",") if part.strip()]


def _marks(values: list[str]) -> str:
    return ", ".join("?" * len(values))


def _glob(value: str) -> str:
    """DICOM wildcards are those of GLOB; its character classes are not, so they are quoted."""
    return value.replace("[", "[[]")
