"""Body of a STOW-RS or QIDO-RS answer → what the PACS said about each instance (PS3.18 10.5.3, 10.6.3). Pure.

A body that is not DICOM JSON says nothing about any instance; whoever asked must then look for the instance.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

_REFERENCED_SOP: Final = "00081199"
_FAILED_SOP: Final = "00081198"
_REFERENCED_UID: Final = "00081155"
_WARNING_REASON: Final = "00081196"
_FAILURE_REASON: Final = "00081197"

#: Tags in DICOM JSON.
SOP_INSTANCE_UID: Final = "00080018"
SERIES_INSTANCE_UID: Final = "0020000E"


@dataclass(frozen=True)
class StoreAnswer:
    """What an answer says.

    Attributes
    ----------
    stored
        Instance UID → Warning Reason (0008,1196), or ``None`` where it was stored as it is.
    failed
        Instance UID → Failure Reason (0008,1197), 0 where none is given.
    readable
        Whether the body was DICOM JSON at all.
    """

    stored: dict[str, int | None] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    readable: bool = False


def store_answer(body: bytes) -> StoreAnswer:
    """Read a Store Instances Response Module (PS3.3 C.12.1.29) in DICOM JSON.

    A sequence may be present and empty; only its items count.
    """
    document = _json(body)
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    if not isinstance(document, dict):
        return StoreAnswer()
    return StoreAnswer(
        stored={uid: _number(item, _WARNING_REASON) for uid, item in _instances(document, _REFERENCED_SOP)},
        failed={uid: _number(item, _FAILURE_REASON) or 0 for uid, item in _instances(document, _FAILED_SOP)},
        readable=True,
    )


def documents(body: bytes) -> list[dict[str, Any]] | None:
    """DICOM JSON objects of a QIDO-RS answer or of metadata; ``None`` where the body is neither."""
    found = _json(body)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        return None
    return found


def uids_of(found: Iterable[dict[str, Any]], tag: str) -> frozenset[str]:
    """First values of a UID attribute, such as ``00080018``."""
    return frozenset(str(uid) for item in found if (uid := _first(item, tag)))


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _instances(document: dict[str, Any], sequence: str) -> Iterator[tuple[str, dict[str, Any]]]:
    element = document.get(sequence)
    items = element.get("Value") if isinstance(element, dict) else None
    for item in items if isinstance(items, list) else []:
        uid = _first(item, _REFERENCED_UID) if isinstance(item, dict) else None
        if uid:
            yield str(uid), item


def _first(item: dict[str, Any], tag: str) -> Any:
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if isinstance(values, list) and values else None


def _number(item: dict[str, Any], tag: str) -> int | None:
    """A code with VR US; what is no number of 16 bits says nothing."""
    value = _first(item, tag)
    try:
        number = -1 if value is None else int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number <= 0xFFFF else None
