"""QIDO-RS searches (PS3.18 10.6): whole result lists by paging, and DICOM JSON → what the plan works with.

A service that answers with smaller pages than asked for is paged on; one that ignores ``offset`` is noticed, as it
brings the same page again. Then the list is not whole, and the caller is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from producers.poller.plan import Instance, Series, Study
from producers.poller.web import DicomWeb

PAGE: Final = 500

_STUDY: Final = "0020000D"
_SERIES: Final = "0020000E"
_SOP: Final = "00080018"
_CLASS: Final = "00080016"

Row = dict[str, Any]


async def search(
    web: DicomWeb, path: str, params: Mapping[str, str], unique: str, limit: int | None = None
) -> tuple[list[Row], bool]:
    """All results of a search, each once.

    Parameters
    ----------
    web, path, params
        Where and what.
    unique
        Tag of the UID that tells results apart.
    limit
        Stop after about so many; ``None`` for all.

    Returns
    -------
    tuple
        Results, and whether these are all that there are.
    """
    found: dict[str, Row] = {}
    received = 0
    page = min(limit or PAGE, PAGE)
    while limit is None or received < limit:
        rows = await web.json(path, {**params, "limit": str(page), "offset": str(received)})
        fresh = {text(row, unique): row for row in rows if text(row, unique) not in found}
        if not rows:
            return list(found.values()), True
        if not fresh:
            # the same again: the service knows no offset, and a page that was not full was everything
            return list(found.values()), received < page
        found |= fresh
        received += len(rows)
    return list(found.values()), False


def text(row: Mapping[str, Any], tag: str) -> str:
    """First value of an attribute as text; empty when there is none."""
    element = row.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return str(values[0]).strip() if isinstance(values, list) and values and values[0] is not None else ""


def number(row: Mapping[str, Any], tag: str) -> int | None:
    """First value of an attribute as a number; ``None`` when there is none."""
    value = text(row, tag)
    return int(value) if value.isascii() and value.isdigit() else None


def study_of(row: Mapping[str, Any]) -> Study:
    """One study."""
    element = row.get("00080061")
    values = element.get("Value") if isinstance(element, dict) else None
    return Study(
        text(row, _STUDY),
        text(row, "00080020"),
        text(row, "00080030"),
        frozenset(str(value).strip() for value in values if value) if isinstance(values, list) else None,
        text(row, "00081030"),
        number(row, "00201208"),
    )


def series_of(row: Mapping[str, Any]) -> Series:
    """One series."""
    return Series(text(row, _SERIES), text(row, "00080060") or None, text(row, "00081010") or None)


def instance_of(row: Mapping[str, Any]) -> Instance:
    """One instance."""
    return Instance(text(row, _SERIES), text(row, _SOP), text(row, _CLASS))


async def studies_in(
    web: DicomWeb, study_date: str, study_time: str, more: Mapping[str, str], limit: int | None
) -> tuple[list[Study], bool]:
    """Studies of a range of dates, and of times when that is not empty; see :func:`search`."""
    params = {"StudyDate": study_date, "includefield": "ModalitiesInStudy,NumberOfStudyRelatedInstances", **more}
    if study_time:
        params["StudyTime"] = study_time
    rows, whole = await search(web, "/studies", params, _STUDY, limit)
    return [study_of(row) for row in rows if text(row, _STUDY)], whole


async def series_in(web: DicomWeb, study: str) -> list[Series]:
    """Series of a study."""
    rows, _ = await search(web, f"/studies/{study}/series", {"includefield": "StationName"}, _SERIES)
    return [series_of(row) for row in rows]


async def instances_in(web: DicomWeb, study: str) -> list[Instance]:
    """Instances of a study."""
    rows, _ = await search(web, f"/studies/{study}/instances", {}, _SOP)
    return [instance_of(row) for row in rows if text(row, _SOP) and text(row, _SERIES)]
