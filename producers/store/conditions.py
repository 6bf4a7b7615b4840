"""One matching key → one SQL condition, by the rules of PS3.4 C.2.2.2. Pure.

Single value, UID list, wildcard, date and time range, empty value, and person names literally or nearly. A value
that is none of its attribute's value representation is an error that names the attribute.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from producers.store.attributes import Attribute
from schemas.errors import InvalidMessage

Parameter = str | int

_MAX_UIDS: Final = 10_000
_MAX_TEXT: Final = 1024
_WHOLE: Final = re.compile(r"\s*[+-]?[0-9]{1,11}\s*", re.ASCII)
_FORM: Final = {
    "DA": re.compile(r"[0-9]{8}", re.ASCII),
    "TM": re.compile(r"[0-9]{2}([0-9]{2}([0-9]{2}(\.[0-9]{1,6})?)?)?", re.ASCII),
}
_EXPECTED: Final = {
    "DA": "a date YYYYMMDD, or a range of two with - between, or one that is open at one end",
    "TM": "a time HH[MM[SS[.F]]], or a range of two with - between, or one that is open at one end",
}
_DATE_WITH_TIME: Final = (
    ("StudyDate", "StudyTime"),
    ("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"),
)
_EMPTY: Final = '""'


@dataclass(frozen=True)
class Matching:
    """Ways of matching that a requestor must ask for.

    Attributes
    ----------
    fuzzy_names
        Person names match nearly (PS3.4 C.2.2.2.1, PS3.18 8.3.4.2); see :mod:`producers.store.person_name`.
    combined_datetime
        A range of dates and one of times are one range of moments (PS3.4 C.2.2.2.5.4).
    empty_values
        Two quotation marks match an attribute without a value (PS3.4 C.2.2.2.7).
    multiple_values
        All values of a list must be there, not only one of them (PS3.4 C.2.2.2.8); of the attributes in the index
        that is for Modalities in Study.
    """

    fuzzy_names: bool = False
    combined_datetime: bool = False
    empty_values: bool = False
    multiple_values: bool = False


LITERAL: Final = Matching()


def condition(attribute: Attribute, value: str, matching: Matching) -> tuple[str, list[Parameter]]:
    """SQL condition and its parameters for a value that is not universal.

    Raises
    ------
    InvalidMessage
        The value is none of the attribute's value representation.
    """
    column = f'"{attribute.keyword}"'
    if "\0" in value:
        raise InvalidMessage(f"{attribute.keyword} has a NUL character in its value: remove it")
    if matching.empty_values and value == _EMPTY:
        return f"({column} IS NULL OR {column} = '')", []
    if attribute.vr == "UI":
        uids = listed(value)
        if len(uids) > _MAX_UIDS:
            raise InvalidMessage(f"{attribute.keyword} has more than {_MAX_UIDS} UIDs: ask in several requests")
        return f"{column} IN ({marks(uids)})", [*uids]
    if len(value) > _MAX_TEXT:
        raise InvalidMessage(f"{attribute.keyword} is longer than {_MAX_TEXT} characters: no such value exists")
    if attribute.is_number:
        if _WHOLE.fullmatch(value) is None:
            raise InvalidMessage(f"{attribute.keyword} must be a whole number")
        return f"{column} = ?", [int(value)]
    if attribute.vr in _FORM:
        return _range(column, attribute, value)
    if attribute.vr == "PN":
        return f"{'fuzzy_name' if matching.fuzzy_names else 'literal_name'}({column}, ?)", [value]
    if "*" in value or "?" in value:
        return f"{column} GLOB ?", [_glob(value)]
    return f"{column} = ?", [value]


def combined_datetimes(filters: dict[str, str]) -> Iterator[tuple[str, list[Parameter]]]:
    """Conditions of dates with their times as one range; takes those keys out of ``filters``.

    Both must be ranges of the same form; else each matches by itself (PS3.4 C.2.2.2.5.4).
    """
    for date, time in _DATE_WITH_TIME:
        if "-" not in filters.get(date, "") or "-" not in filters.get(time, ""):
            continue
        first_date, last_date = _ends(Attribute(date, 0, "DA"), filters[date])
        first_time, last_time = _ends(Attribute(time, 0, "TM"), filters[time])
        if (bool(first_date), bool(last_date)) != (bool(first_time), bool(last_time)):
            continue
        del filters[date], filters[time]
        column = f'"{date}" || coalesce("{time}", \'\')'
        conditions: list[str] = []
        parameters: list[Parameter] = []
        if first_date:
            conditions.append(f"{column} >= ?")
            parameters.append(first_date + first_time)
        if last_date:
            conditions.append(f"{column} <= ?")
            parameters.append(f"{last_date}{last_time}~")
        yield f"({' AND '.join(conditions)})", parameters


def listed(value: str) -> list[str]:
    """Values of a list, which are separated by backslash or comma."""
    return [part.strip() for part in value.replace("\\", ",").split(",") if part.strip()]


def marks(values: list[str]) -> str:
    """Question marks for the values."""
    return ", ".join("?" * len(values))


def _range(column: str, attribute: Attribute, value: str) -> tuple[str, list[Parameter]]:
    """Range matching (PS3.4 C.2.2.2.5); a time of less precision covers all times that begin with it."""
    low, high = _ends(attribute, value)
    conditions: list[str] = []
    parameters: list[Parameter] = []
    if low:
        conditions.append(f"{column} >= ?")
        parameters.append(low)
    if high:
        conditions.append(f"{column} <= ?")
        parameters.append(high if attribute.vr == "DA" else f"{high}~")
    return f"({' AND '.join(conditions)})", parameters


def _ends(attribute: Attribute, value: str) -> tuple[str, str]:
    low, dash, high = (part.strip() for part in value.partition("-"))
    if not dash:
        high = low
    form = _FORM[attribute.vr]
    if not (low or high) or any(form.fullmatch(end) is None for end in (low, high) if end):
        raise InvalidMessage(f"{attribute.keyword} must be {_EXPECTED[attribute.vr]}")
    return low, high


def _glob(value: str) -> str:
    """DICOM wildcards are those of GLOB; its character classes are not, so they are quoted."""
    return value.replace("[", "[[]")
