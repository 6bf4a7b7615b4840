"""Query of a search for workitems → which workitems match (PS3.18 11.9, matching as PS3.4 C.2.2.2). Pure.

Single values, lists of UIDs, wildcards and ranges of date and time; in a sequence by its path, such as
``InputInformationSequence.StudyInstanceUID``. A key that is not supported is refused and never passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.tag import Tag

from dashboards.live.catalogue import Kind
from dashboards.live.records import TaskView
from dashboards.live.view import LiveView
from dashboards.ups.identity import task_of, workitem_uid
from dashboards.ups.model import PLACES
from dashboards.ups.orders import WorkitemRefused
from dashboards.ups.times import span
from dashboards.ups.workitem import (
    LABEL,
    PRIORITIES,
    SCHEME,
    SHORT_CODE,
    STATES,
    dt,
    label_of,
    readiness_of,
    state_of,
)

MOST: Final = 1_000
#: Every attribute is given anyway; how it is sent is not the search's business (PS3.18 8.3.3).
_ELSEWHERE: Final = frozenset({"includefield", "accept", "charset"})
#: A matching key of a filter (PS3.18 11.10.1.2), which ends where the next one begins.
_NEXT_KEY: Final = re.compile(r"[,&](?=[A-Za-z0-9_.]+=)")
_HEX: Final = re.compile(r"[0-9A-Fa-f]{8}")

_STUDY: Final = "InputInformationSequence.StudyInstanceUID"

Reader = Callable[[TaskView, datetime], Iterable[str]]

#: What can be asked for, by path of keywords: its values for a task, without making the workitem.
KEYS: Final[dict[str, Reader]] = {
    "SOPInstanceUID": lambda task, _: (workitem_uid(task),),
    "ProcedureStepState": lambda task, now: (state_of(task, now),),
    "ScheduledProcedureStepPriority": lambda task, _: (PRIORITIES[task.priority],),
    "InputReadinessState": lambda task, _: (readiness_of(task),),
    "ProcedureStepLabel": lambda task, _: (label_of(task),),
    "WorklistLabel": lambda *_: (LABEL,),
    "ScheduledProcedureStepStartDateTime": lambda task, _: (dt(task.created_at),),
    "ScheduledProcedureStepModificationDateTime": lambda task, _: (dt(task.updated_at),),
    "ScheduledWorkitemCodeSequence.CodeValue": lambda task, _: (task.model_name,),
    # in the workitem it is the one or the other, by its length; by Code Value all are found
    "ScheduledWorkitemCodeSequence.LongCodeValue": lambda task, _: (
        (task.model_name,) if len(task.model_name) > SHORT_CODE else ()
    ),
    "ScheduledWorkitemCodeSequence.CodingSchemeDesignator": lambda *_: (SCHEME,),
    "ScheduledStationNameCodeSequence.CodeValue": lambda *_: (LABEL,),
    "ScheduledStationNameCodeSequence.CodingSchemeDesignator": lambda *_: (SCHEME,),
    _STUDY: lambda task, _: (task.study_instance_uid,),
    "InputInformationSequence.SeriesInstanceUID": lambda task, _: (
        task.asked.series_instance_uids if task.asked is not None else ()
    ),
    "ReferencedRequestSequence.AccessionNumber": lambda task, _: (
        (task.asked.accession_number,) if task.asked is not None and task.asked.accession_number else ()
    ),
}

#: The same for all tasks of a kind: each value that one of them may have.
OF_KIND: Final[dict[str, Callable[[Kind], Iterable[str]]]] = {
    "ProcedureStepState": lambda kind: STATES[kind.state],
    "ScheduledProcedureStepPriority": lambda kind: (PRIORITIES[kind.priority],),
    "ProcedureStepLabel": lambda kind: (label_of(kind),),
    "WorklistLabel": lambda _: (LABEL,),
    "ScheduledWorkitemCodeSequence.CodeValue": lambda kind: (kind.model_name,),
    "ScheduledStationNameCodeSequence.CodeValue": lambda _: (LABEL,),
}


@dataclass(frozen=True)
class Wanted:
    """A search that is understood; ``keys`` are paths and their values, ``fuzzy`` asks for what is not done."""

    keys: tuple[tuple[str, str], ...]
    limit: int = 100
    offset: int = 0
    fuzzy: bool = False


def parse(pairs: Iterable[tuple[str, str]]) -> Wanted:
    """Understand the parameters of a search.

    Raises
    ------
    WorkitemRefused
        A parameter is not supported, or has no sensible value.
    """
    keys, numbers, fuzzy = list[tuple[str, str]](), {"limit": 100, "offset": 0}, False
    for name, value in pairs:
        if name in numbers:
            if not re.fullmatch(r"\d{1,9}", value):
                raise WorkitemRefused(400, f"{name} is no whole number: correct it")
            numbers[name] = int(value)
        elif name == "fuzzymatching":
            if value not in ("true", "false"):
                raise WorkitemRefused(400, "fuzzymatching must be true or false: correct it")
            fuzzy = value == "true"
        elif name in _ELSEWHERE:
            continue
        else:
            path = _path(name)
            if path not in KEYS:
                raise WorkitemRefused(400, f"{name[:100]!r} cannot be searched for: {', '.join(sorted(KEYS))} can")
            _check_time(path, value)
            keys.append((path, value))
    return Wanted(tuple(keys), min(numbers["limit"], MOST), numbers["offset"], fuzzy)


@lru_cache(1_000)
def parse_filter(text: str) -> Wanted:
    """Understand the filter of a subscription: matching keys between commas (PS3.18 11.10.1.2) or ampersands.

    Raises
    ------
    WorkitemRefused
        As :func:`parse`.
    """
    keys = [key.partition("=") for key in _NEXT_KEY.split(text)]
    return parse((unquote(name), unquote(value)) for name, _, value in keys)


def find(view: LiveView, wanted: Wanted, now: datetime, most: int) -> list[TaskView]:
    """Tasks whose workitems match, the newest first, and no more than so many.

    What names a workitem or a study is looked up; else no task is looked at whose kind rules it out.
    """
    named = dict(wanted.keys)
    matches, uids = matcher(wanted, now), _uids(named.get("SOPInstanceUID", ""))
    if uids:
        found = [task for uid in uids if (task := task_of(view, uid)) is not None and matches(task)]
        return sorted(found, key=lambda task: (task.created_at, task.task_id), reverse=True)[:most]
    study = named.get(_STUDY, "")
    only = study if len(_uids(study)) == 1 else None
    return view.newest(matches, None, most, only, kinds(wanted))


def kinds(wanted: Wanted) -> Callable[[Kind], bool]:
    """Whether the workitem of a task of a kind may have all that is asked for."""
    tests = [
        (OF_KIND[path], _test(path.rpartition(".")[2], value))
        for path, value in wanted.keys
        if value != "" and path in OF_KIND
    ]
    return lambda kind: all(any(map(fits, values(kind))) for values, fits in tests)


def matcher(wanted: Wanted, now: datetime) -> Callable[[TaskView], bool]:
    """Whether the workitem of a task has all that is asked for: prepared once, for a search asks of thousands."""
    tests = [(KEYS[path], _test(path.rpartition(".")[2], value)) for path, value in wanted.keys if value != ""]

    def matches(task: TaskView) -> bool:
        for values, fits in tests:
            for value in values(task, now):
                if fits(value):
                    break
            else:
                return False
        return True

    return matches


def _check_time(path: str, value: str) -> None:
    if value and PLACES[path.rpartition(".")[2]][1] == "DT":
        try:
            span(value)
        except (ValueError, OverflowError) as error:
            raise WorkitemRefused(
                400,
                f"{path} must be a date and time (YYYYMMDDHHMMSS+ZZXX, or the first of these) or a range",
            ) from error


def _path(name: str) -> str:
    parts = []
    for part in name.split("."):
        keyword = keyword_for_tag(Tag(int(part, 16))) if _HEX.fullmatch(part) else part
        parts.append(keyword if tag_for_keyword(keyword) is not None else part)
    return ".".join(parts)


@lru_cache(1_000)
def _test(keyword: str, wanted: str) -> Callable[[str], bool]:
    """Whether a value is what was asked for."""
    representation = PLACES[keyword][1]
    if representation == "DT":
        first, end = span(wanted)
        return lambda known: first <= known < end
    if representation == "UI":
        return _uids(wanted).__contains__
    if not {"*", "?"} & set(wanted):
        return wanted.__eq__
    signs = {"*": ".*", "?": "."}
    pattern = re.compile("".join(signs.get(sign, re.escape(sign)) for sign in wanted), re.DOTALL)
    # few different values are known of many tasks
    return lru_cache(1_000)(lambda known: pattern.fullmatch(known) is not None)


def _uids(value: str) -> frozenset[str]:
    """UIDs of a list."""
    return frozenset(re.split(r"[,\\]", value)) if value else frozenset()
