"""Query of a search for workitems → which workitems match (PS3.18 11.9, matching as PS3.4 C.2.2.2). Pure.

Single values, lists of UIDs, wildcards and ranges of date and time; in a sequence by its path, such as
``InputInformationSequence.StudyInstanceUID``. A key that is not supported is refused and never passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.tag import Tag

from dashboards.ups.orders import WorkitemRefused

MOST: Final = 1_000
_HEX: Final = re.compile(r"[0-9A-Fa-f]{8}")
#: What can be asked for, by path of keywords.
KEYS: Final = frozenset(
    {
        "SOPInstanceUID",
        "ProcedureStepState",
        "ScheduledProcedureStepPriority",
        "InputReadinessState",
        "ProcedureStepLabel",
        "WorklistLabel",
        "ScheduledProcedureStepStartDateTime",
        "ScheduledProcedureStepModificationDateTime",
        "ScheduledWorkitemCodeSequence.CodeValue",
        "ScheduledStationNameCodeSequence.CodeValue",
        "InputInformationSequence.StudyInstanceUID",
        "InputInformationSequence.SeriesInstanceUID",
        "ReferencedRequestSequence.AccessionNumber",
    }
)


@dataclass(frozen=True)
class Wanted:
    """A search that is understood; ``keys`` are paths and their values."""

    keys: tuple[tuple[str, str], ...]
    limit: int = 100
    offset: int = 0

    def value(self, path: str) -> str | None:
        """Value of a key, or ``None`` where it is not asked for."""
        return dict(self.keys).get(path)


def parse(pairs: Iterable[tuple[str, str]]) -> Wanted:
    """Understand the parameters of a search.

    Raises
    ------
    WorkitemRefused
        A parameter is not supported, or has no sensible value.
    """
    keys, numbers = list[tuple[str, str]](), {"limit": 100, "offset": 0}
    for name, value in pairs:
        if name in numbers:
            if not re.fullmatch(r"\d{1,9}", value):
                raise WorkitemRefused(400, f"{name} is no whole number: correct it")
            numbers[name] = int(value)
        elif name == "includefield" or (name == "fuzzymatching" and value == "false"):
            continue  # every attribute is given anyway
        else:
            path = _path(name)
            if path not in KEYS:
                raise WorkitemRefused(400, f"{name[:100]!r} cannot be searched for: {', '.join(sorted(KEYS))} can")
            keys.append((path, value))
    return Wanted(tuple(keys), min(numbers["limit"], MOST), numbers["offset"])


def matches(item: Dataset, wanted: Wanted) -> bool:
    """Whether a workitem has all that is asked for."""
    return all(_matches(item, path.split("."), value) for path, value in wanted.keys if value != "")


def _path(name: str) -> str:
    parts = []
    for part in name.split("."):
        keyword = keyword_for_tag(Tag(int(part, 16))) if _HEX.fullmatch(part) else part
        parts.append(keyword if tag_for_keyword(keyword) is not None else part)
    return ".".join(parts)


def _matches(item: Dataset, path: list[str], value: str) -> bool:
    if len(path) > 1:
        return any(_matches(inner, path[1:], value) for inner in item.get(path[0]) or [])
    keyword = path[0]
    known = str(item.get(keyword) or (item.get("LongCodeValue") if keyword == "CodeValue" else "") or "")
    representation = dictionary_VR(keyword)
    if representation == "DT" and "-" in value:
        first, _, last = value.partition("-")
        return bool(known) and (not first or known >= first) and (not last or known[: len(last)] <= last)
    if representation == "DT":
        return known.startswith(value)
    if representation == "UI":
        return known in re.split(r"[,\\]", value)
    pattern = "".join({"*": ".*", "?": "."}.get(sign, re.escape(sign)) for sign in value)
    return re.fullmatch(pattern, known) is not None
