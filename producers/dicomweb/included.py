"""``includefield`` of attributes that the index does not hold → read from the stored files (PS3.18 8.3.4.3).

An instance gives its own attributes; a study or series gives those of its first instance. Reading files is
bounded: beyond :data:`MAX_FILES` results a response says in a ``Warning`` that only the first ones have them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from producers.dicomweb.dicom_json import Json
from producers.dicomweb.metadata import metadata_of
from producers.dicomweb.query import QidoQuery
from producers.store import InstanceStore, Level, StoredInstance
from schemas.logs import fields

log = logging.getLogger(__name__)

#: Results of one response whose files are read.
MAX_FILES: Final = 200

_STUDY: Final = "0020000D"
_SERIES: Final = "0020000E"
_INSTANCE: Final = "00080018"


async def include(
    store: InstanceStore, level: Level, results: Sequence[Json], query: QidoQuery, base_url: str
) -> list[str]:
    """Add the attributes to the results; returns sentences for ``Warning`` header fields."""
    only = None if query.everything else frozenset(query.included)
    for found in results[:MAX_FILES]:
        stored = await _representative(store, level, found)
        if stored is None:
            continue
        try:
            document = await asyncio.to_thread(metadata_of, stored, base_url, only)
        except OSError:
            log.exception("the file of an indexed instance is missing", extra=fields(file=str(stored.path)))
            continue
        merged = document | found
        found.clear()
        found.update(sorted(merged.items()))
    if len(results) <= MAX_FILES:
        return []
    return [f"Attributes that are not in the index are given for the first {MAX_FILES} results only: use limit"]


async def _representative(store: InstanceStore, level: Level, found: Json) -> StoredInstance | None:
    study, series = _uid(found, _STUDY), _uid(found, _SERIES)
    sop = _uid(found, _INSTANCE)
    if level != "instance":
        filters = {"StudyInstanceUID": study} | ({"SeriesInstanceUID": series} if series else {})
        rows = await store.search("instance", filters, 1)
        if not rows:
            return None
        series, sop = rows[0]["SeriesInstanceUID"], rows[0]["SOPInstanceUID"]
    instances = await store.instances_of(study, series, sop)
    return instances[0] if instances else None


def _uid(found: Json, tag: str) -> str:
    return str(found[tag]["Value"][0]) if tag in found else ""
