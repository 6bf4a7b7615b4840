"""Search string → conditions on the index, or a refusal that names what is supported (FHIR R4 3.1.1).

Values of one parameter separated by commas mean *or*, a parameter given twice means *and*. Pure: the SQL that
comes out has only placeholders for values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from dashboards.fhir.outcome import FhirRefusal
from dashboards.fhir.parameters import PARAMETERS

DEFAULT_COUNT: Final = 20
LARGEST_COUNT: Final = 500
MOST_VALUES: Final = 200
#: What every type understands beside its own parameters; ``_after`` is this server's own page mark.
COMMON: Final = ("_id", "_lastUpdated", "_count", "_after", "_format", "_summary")
_INSTANT: Final = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(\d{4}(?:-\d\d(?:-\d\d(?:T.+)?)?)?)")
#: System and value on both sides of the first bar that is not escaped; a backslash may be escaped before it.
_BAR: Final = re.compile(r"((?:[^\\|]|\\.)*)\|(.*)", re.DOTALL)


@dataclass(frozen=True)
class Condition:
    """One SQL condition on the table ``resource`` (alias ``r``) and its values.

    ``typed`` says that it holds only for resources of the type that is searched.
    """

    sql: str
    values: tuple[str | int, ...]
    typed: bool = False


@dataclass(frozen=True)
class Query:
    """A search that is understood.

    ``used`` are the parameters that took part, for the ``self`` link; ``after`` is the last sequence number of
    the page before (``None``: first page).
    """

    resource_type: str
    conditions: tuple[Condition, ...] = ()
    count: int = DEFAULT_COUNT
    after: int | None = None
    only_total: bool = False
    used: tuple[tuple[str, str], ...] = field(default=())

    @property
    def names(self) -> set[str]:
        """Names of the parameters that took part, without their modifiers."""
        return {name.partition(":")[0] for name, _ in self.used}


def where(query: Query, *more: Condition) -> tuple[str, list[str | int]]:
    """SQL of all conditions, and its values.

    The type is a condition only where no other one implies it: with it, SQLite would walk through all resources
    of the type instead of asking the search index.
    """
    conditions = [*query.conditions, *more]
    if not any(condition.typed for condition in conditions):
        conditions.insert(0, Condition("r.type = ?", (query.resource_type,)))
    values = [value for condition in conditions for value in condition.values]
    return " AND ".join(f"({condition.sql})" for condition in conditions), values


def supported(resource_type: str) -> list[str]:
    """Names of the search parameters of a type."""
    return sorted([*PARAMETERS[resource_type], *COMMON])


def parse(resource_type: str, given: Iterable[tuple[str, str]], lenient: bool = False) -> Query:
    """Understand a search.

    Parameters
    ----------
    resource_type
        A type that the store keeps.
    given
        Decoded names and values, in their order.
    lenient
        ``Prefer: handling=lenient``: leave out what is unknown instead of refusing it.

    Raises
    ------
    FhirRefusal
        400 for an unknown parameter, modifier or value.
    """
    conditions: list[Condition] = []
    used: list[tuple[str, str]] = []
    count, after, only_total = DEFAULT_COUNT, None, False
    for name, value in given:
        if name == "_count":
            count = min(_number(name, value), LARGEST_COUNT)
            only_total = only_total or count == 0
        elif name == "_after":
            after = _number(name, value)
        elif name == "_summary" and value in ("count", "false"):
            only_total = only_total or value == "count"
        elif name != "_format":
            condition = _condition(resource_type, name, value)
            if condition is None:
                if lenient:
                    continue
                names = ", ".join(supported(resource_type))
                raise FhirRefusal(
                    400, "not-supported", f"unknown search parameter {name[:40]!r}: {resource_type} knows {names}"
                )
            conditions.append(condition)
        used.append((name, value))
    return Query(resource_type, tuple(conditions), count, after, only_total, tuple(used))


def _condition(resource_type: str, name: str, value: str) -> Condition | None:
    if name == "_id":
        ids = split(value)
        return Condition(f"r.id IN ({_marks(ids)})", tuple(ids))
    if name == "_lastUpdated":
        return _any([_updated(item) for item in split(value)])
    base, _, modifier = name.partition(":")
    parameter = PARAMETERS[resource_type].get(base)
    if parameter is None:
        return None
    if parameter.kind == "reference" and (modifier == "identifier" or modifier in parameter.targets):
        if modifier == "identifier":
            return _indexed(resource_type, name, [_token(item) for item in split(value)])
        return _indexed(resource_type, base, [_reference(item, (modifier,)) for item in split(value)])
    if modifier:
        return None
    if parameter.kind == "reference":
        return _indexed(resource_type, base, [_reference(item, parameter.targets) for item in split(value)])
    if parameter.kind == "string":
        return _indexed(resource_type, base, [_starts(item) for item in split(value)])
    return _indexed(resource_type, base, [_token(item) for item in split(value)])


def split(value: str) -> list[str]:
    r"""Values of an *or* list; ``\,`` ``\|`` ``\$`` and ``\\`` stand for themselves (FHIR R4 3.1.1.4.0.2)."""
    items = [item for item in re.findall(r"(?:[^\\,]|\\.)+", value, re.DOTALL) if item]
    if not items:
        raise FhirRefusal(400, "value", "a search parameter has no value: give one or leave it out")
    if len(items) > MOST_VALUES:
        raise FhirRefusal(400, "too-costly", f"a parameter may have {MOST_VALUES} values: search several times")
    return items


def _unescape(text: str) -> str:
    return re.sub(r"\\([,|$\\])", r"\1", text)


def _token(item: str) -> Condition:
    found = _BAR.fullmatch(item)
    if found is None:
        return Condition("value = ?", (_unescape(item),))
    system, value = map(_unescape, found.groups())
    if not value:
        return Condition("system = ?", (system,))
    return Condition("value = ? AND system = ?", (value, system))


def _reference(item: str, targets: Sequence[str]) -> Condition:
    text = _unescape(item)
    if "/" not in text:
        return _any([Condition("value = ?", (f"{target}/{text}",)) for target in targets])
    relative = "/".join(text.split("/")[-2:])
    return _any([Condition("value = ?", (value,)) for value in dict.fromkeys((text, relative))])


def _starts(item: str) -> Condition:
    text = _unescape(item).casefold()
    return Condition("value >= ? AND value < ?", (text, text + "\U0010ffff"))


def _updated(item: str) -> Condition:
    match = _INSTANT.fullmatch(item)
    span = _span(match[2]) if match else None
    if match is None or span is None:
        raise FhirRefusal(
            400, "value", "_lastUpdated is not a FHIR date or instant: write 2026-01-31 or ge2026-01-31"
        )
    first, end = span
    sql: dict[str, tuple[str, tuple[int, ...]]] = {
        "eq": ("r.updated >= ? AND r.updated < ?", (first, end)),
        "ap": ("r.updated >= ? AND r.updated < ?", (first, end)),
        "ne": ("(r.updated < ? OR r.updated >= ?)", (first, end)),
        "gt": ("r.updated >= ?", (end,)),
        "sa": ("r.updated >= ?", (end,)),
        "ge": ("r.updated >= ?", (first,)),
        "lt": ("r.updated < ?", (first,)),
        "eb": ("r.updated < ?", (first,)),
        "le": ("r.updated < ?", (end,)),
    }
    return Condition(*sql[match[1] or "eq"])


def _span(text: str) -> tuple[int, int] | None:
    """First millisecond of a date of any precision, and the first one after it."""
    try:
        if "T" in text:
            first = datetime.fromisoformat(text)
            seconds = text.partition("T")[2]
            width = timedelta(milliseconds=1) if "." in seconds else timedelta(seconds=1)
            if seconds.count(":") - (1 if re.search(r"[+-]\d\d:\d\d$", seconds) else 0) < 2:
                width = timedelta(minutes=1)
            end = first + width
        elif len(text) == 10:
            first = datetime.fromisoformat(text)
            end = first + timedelta(days=1)
        else:
            year, month = int(text[:4]), int(text[5:] or 1)
            first = datetime(year, month, 1, tzinfo=UTC)
            later = year * 12 + month - 1 + (1 if len(text) == 7 else 12)
            end = datetime(later // 12, later % 12 + 1, 1, tzinfo=UTC)
        return _millis(first), _millis(end)
    except (ValueError, OverflowError):
        # the last day of the calendar has none after it
        return None


def _millis(moment: datetime) -> int:
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _indexed(resource_type: str, parameter: str, choices: list[Condition]) -> Condition:
    either = _any(choices)
    sql = f"r.seq IN (SELECT seq FROM search WHERE type = ? AND parameter = ? AND {either.sql})"  # noqa: S608 - no values
    return Condition(sql, (resource_type, parameter, *either.values), typed=True)


def _any(choices: list[Condition]) -> Condition:
    sql = " OR ".join(f"({choice.sql})" for choice in choices)
    return Condition(f"({sql})", tuple(value for choice in choices for value in choice.values))


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" for _ in values)


def _number(name: str, value: str) -> int:
    if not re.fullmatch(r"\d{1,18}", value):
        raise FhirRefusal(400, "value", f"{name} is not a whole number: correct it")
    return int(value)
