"""Modality Worklist keys ↔ scheduled procedure steps: matching and answers (PS3.4 K.6.1). Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pydicom.datadict import dictionary_VR

from producers.dimse.identifier import SPECIFIC_CHARACTER_SET, UNICODE, Element, Keys
from producers.store.person_name import literal
from producers.store.wildcards import expression
from schemas.errors import InvalidMessage
from schemas.events import ClinicalContext, Code, ScheduledProcedureStep, WorklistItem

SCHEDULED_STEP_SEQUENCE: Final = 0x00400100
PROTOCOL_CODE_SEQUENCE: Final = 0x00400008
START_DATE: Final = 0x00400002
START_TIME: Final = 0x00400003


@dataclass(frozen=True)
class Scheduled:
    """One step with the order that it belongs to."""

    order: ClinicalContext
    item: WorklistItem
    step: ScheduledProcedureStep


Value = Callable[[Scheduled], str | None]

_OF_ORDER: Final[Mapping[int, Value]] = {
    0x00080050: lambda found: found.order.accession_number,
    0x00080090: lambda found: found.item.referring_physician_name,
    0x00100010: lambda found: found.item.patient_name,
    0x00100020: lambda found: found.item.patient_id,
    0x00100021: lambda found: found.item.issuer_of_patient_id,
    0x00100030: lambda found: found.item.patient_birth_date,
    0x00100040: lambda found: found.item.patient_sex,
    0x0020000D: lambda found: found.item.study_instance_uid,
    0x00321032: lambda found: found.item.requesting_physician_name,
    0x00321060: lambda found: found.item.requested_procedure_description,
    0x00380010: lambda found: found.item.admission_id,
    0x00401001: lambda found: found.item.requested_procedure_id,
    0x00401002: lambda found: found.order.reason,
    0x00401003: lambda found: found.item.requested_procedure_priority,
}
_OF_STEP: Final[Mapping[int, Value]] = {
    0x00080060: lambda found: found.step.modality,
    0x00400001: lambda found: found.step.station_ae_title,
    START_DATE: lambda found: found.step.start_date,
    START_TIME: lambda found: found.step.start_time,
    0x00400006: lambda found: found.step.performing_physician_name,
    0x00400007: lambda found: found.step.description,
    0x00400009: lambda found: found.step.step_id,
    0x00400010: lambda found: found.step.station_name,
}
#: Attributes that are matched and returned, by where they stand.
KEYS: Final[Mapping[str, tuple[int, ...]]] = {
    "the order": tuple(_OF_ORDER),
    "Scheduled Procedure Step Sequence": tuple(_OF_STEP),
}
_DATE: Final = re.compile(r"\d{8}")
_TIME: Final = re.compile(r"\d{2}(\d{2}(\d{2})?)?")


@dataclass(frozen=True)
class WorklistQuery:
    """A query that can be answered; ``has_unsupported`` says that it asks for attributes that nobody knows."""

    keys: Keys
    step_keys: Keys
    has_unsupported: bool


def parse(keys: Keys) -> WorklistQuery:
    """Query of an identifier.

    Raises
    ------
    InvalidMessage
        A date or time is none.
    """
    step_keys = keys.items.get(SCHEDULED_STEP_SEQUENCE, Keys())
    for tag, pattern, name in ((START_DATE, _DATE, "date"), (START_TIME, _TIME, "time")):
        for end in _ends(_digits(step_keys.text(tag))):
            if end and not pattern.fullmatch(end):
                raise InvalidMessage(f"the Scheduled Procedure Step Start {name} is no {name} and no range")
    asked = (*keys.values, *keys.items, *step_keys.values, *step_keys.items)
    return WorklistQuery(keys, step_keys, any(_vr(tag) is None for tag in asked))


def matches(query: WorklistQuery, found: Scheduled) -> bool:
    """Whether a step matches all keys (PS3.4 K.6.1.2.2)."""
    return (
        _in_period(query.step_keys, found.step)
        and all(_fits(tag, key, _OF_STEP, found) for tag, key in query.step_keys.values.items())
        and all(_fits(tag, key, _OF_ORDER, found) for tag, key in query.keys.values.items())
    )


def answer(query: WorklistQuery, found: Scheduled) -> list[Element]:
    """Attributes that were asked for; what is known of none is there with zero length."""
    elements = [Element(SPECIFIC_CHARACTER_SET, "CS", UNICODE)]
    elements += _elements(query.keys, _OF_ORDER, found)
    if SCHEDULED_STEP_SEQUENCE in query.keys.items:
        step = query.step_keys
        # A sequence without keys asks for all that it holds (PS3.4 C.2.2.2.6).
        asked = step if step.values or step.items else _EVERYTHING
        elements.append(Element(SCHEDULED_STEP_SEQUENCE, "SQ", [_elements(asked, _OF_STEP, found)]))
    return elements


_EVERYTHING: Final = Keys(dict.fromkeys(_OF_STEP, ""), {PROTOCOL_CODE_SEQUENCE: Keys()})


def _elements(asked: Keys, known: Mapping[int, Value], found: Scheduled) -> list[Element]:
    elements = []
    for tag in (*asked.values, *asked.items):
        vr = _vr(tag)
        if vr is None or tag in (SPECIFIC_CHARACTER_SET, SCHEDULED_STEP_SEQUENCE):
            continue
        if tag == PROTOCOL_CODE_SEQUENCE and known is _OF_STEP:
            elements.append(Element(tag, vr, [*map(_code, filter(None, [found.step.protocol]))]))
        else:
            value = known[tag](found) if tag in known else None
            elements.append(Element(tag, vr, value))
    return elements


def _code(code: Code) -> list[Element]:
    return [
        Element(0x00080100, "SH", code.value),
        Element(0x00080102, "SH", code.scheme),
        Element(0x00080104, "LO", code.meaning),
    ]


def _fits(tag: int, key: str, known: Mapping[int, Value], found: Scheduled) -> bool:
    """Whether one attribute matches; what is no key of ours does not narrow the search (PS3.4 C.2.2.1.3)."""
    if key in ("", "*") or tag not in known or tag in (START_DATE, START_TIME):
        return True
    value, vr = known[tag](found), _vr(tag)
    if value is None:
        return False
    if vr == "PN":
        return literal(value, key)
    if vr == "DA":
        return _between(value, _digits(key))
    if vr == "UI":
        return value in [uid.strip() for uid in key.split("\\")]
    return _wildcard(key.strip()).fullmatch(value.strip()) is not None


def _in_period(keys: Keys, step: ScheduledProcedureStep) -> bool:
    """Date and time together: a range of both is one period, not the same hours of many days (PS3.4 K.6.1.2.2).

    A step without a time of day matches every time.
    """
    dates, times = _digits(keys.text(START_DATE)), _digits(keys.text(START_TIME))
    time = _digits(step.start_time or "")
    if not times or not time:
        return _between(step.start_date, dates)
    if not dates:
        return _between(time, times)
    (first, last), (early, late) = _ends(dates), _ends(times)
    begin = first + (early or "000000").ljust(6, "0") if first else ""
    end = last + (late or "235959") if last else ""
    return _between(step.start_date + time.ljust(6, "0"), f"{begin}-{end}")


def _between(value: str, key: str) -> bool:
    """Range matching of digits; an end of less precision covers all that begins with it (PS3.4 C.2.2.2.5)."""
    low, high = _ends(key)
    return (not low or value >= low) and (not high or value[: len(high)] <= high)


def _ends(key: str) -> tuple[str, str]:
    low, dash, high = key.partition("-")
    return (low, high) if dash else (low, low)


def _digits(text: str) -> str:
    """Date, time or range without old separators and fractions of a second."""
    ends = (part.strip().partition(".")[0].replace(":", "") for part in _dashed(text))
    return "-".join(ends)


def _dashed(text: str) -> list[str]:
    return [] if text in ("", "*") else text.split("-")


@lru_cache(maxsize=256)
def _wildcard(key: str) -> re.Pattern[str]:
    return re.compile(expression(key), re.DOTALL)


@lru_cache(maxsize=4096)
def _vr(tag: int) -> str | None:
    try:
        return dictionary_VR(tag).partition(" ")[0]
    except KeyError:
        return None


def steps_of(orders: list[ClinicalContext]) -> Iterator[Scheduled]:
    """Every scheduled step, in the order of their start."""
    found = [
        Scheduled(order, order.worklist, step)
        for order in orders
        if order.worklist is not None
        for step in order.worklist.steps
    ]
    yield from sorted(found, key=lambda one: (one.step.start_date, one.step.start_time or "", one.step.step_id))
