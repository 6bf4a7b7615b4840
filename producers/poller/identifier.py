"""Queries and retrievals → identifiers of the Study Root model, and responses → what the plan works with. Pure.

PS3.4 C.6.2. Nothing that identifies a patient is asked for.
"""

from __future__ import annotations

from typing import Any, Final

from pydicom.dataset import Dataset

from producers.poller.plan import Instance, Request, Series, Study
from producers.poller.windows import Window

STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"


def studies_query(window: Window, modality: str = "") -> Dataset:
    """Query for the studies of a window; an empty modality matches all."""
    query = _query("STUDY")
    query.StudyInstanceUID = ""
    query.StudyDate = window.study_date()
    query.StudyTime = window.study_time()
    query.ModalitiesInStudy = modality
    query.StudyDescription = ""
    query.NumberOfStudyRelatedInstances = ""
    return query


def series_query(study: str) -> Dataset:
    """Query for the series of a study."""
    query = _query("SERIES")
    query.StudyInstanceUID = study
    query.SeriesInstanceUID = ""
    query.Modality = ""
    query.StationName = ""
    return query


def instances_query(study: str, series: str) -> Dataset:
    """Query for the instances of a series."""
    query = _query("IMAGE")
    query.StudyInstanceUID = study
    query.SeriesInstanceUID = series
    query.SOPInstanceUID = ""
    query.SOPClassUID = ""
    return query


def retrieval(request: Request) -> Dataset:
    """Identifier of a C-MOVE or C-GET: unique keys only (PS3.4 C.4.2.1.4)."""
    if request.sop_instance_uids:
        query = _query("IMAGE")
        query.SOPInstanceUID = list(request.sop_instance_uids)
    else:
        query = _query("SERIES" if request.series_instance_uid else "STUDY")
    query.StudyInstanceUID = request.study_instance_uid
    if request.series_instance_uid:
        query.SeriesInstanceUID = request.series_instance_uid
    return query


def study_of(match: Dataset) -> Study | None:
    """One study; ``None`` when the response does not name it."""
    uid = _text(match, "StudyInstanceUID")
    if not uid:
        return None
    modalities = match.get("ModalitiesInStudy")
    listed = [modalities] if isinstance(modalities, str) else list(modalities or ())
    return Study(
        uid,
        _text(match, "StudyDate"),
        _text(match, "StudyTime"),
        frozenset(str(one).strip() for one in listed if one) or None,
        _text(match, "StudyDescription"),
        _number(match, "NumberOfStudyRelatedInstances"),
    )


def series_of(match: Dataset) -> Series | None:
    """One series; ``None`` when the response does not name it."""
    uid = _text(match, "SeriesInstanceUID")
    return Series(uid, _text(match, "Modality") or None, _text(match, "StationName") or None) if uid else None


def instance_of(match: Dataset, series: str) -> Instance | None:
    """One instance of a series; ``None`` when the response does not name it."""
    uid = _text(match, "SOPInstanceUID")
    return Instance(series, uid, _text(match, "SOPClassUID")) if uid else None


def _query(level: str) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    return query


def _text(match: Dataset, keyword: str) -> str:
    value: Any = match.get(keyword)
    return "" if value is None else str(value).strip(" \0")


def _number(match: Dataset, keyword: str) -> int | None:
    text = _text(match, keyword)
    return int(text) if text.isascii() and text.isdigit() else None
