"""Identifier of a C-MOVE or C-GET → which instances are asked for (PS3.4 C.4.2.1.4, C.4.3.1.3). Pure."""

from __future__ import annotations

from typing import Final

from producers.dimse.identifier import Keys
from producers.dimse.model import (
    ISSUER_OF_PATIENT_ID,
    PATIENT_ID,
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    UNIQUE_KEYS,
    QueryLevel,
    level_of,
    levels_of,
    require_unique_keys_above,
)
from producers.store.selection import Selection
from schemas.errors import InvalidMessage

_MAX_UIDS: Final = 10_000


def parse(keys: Keys, sop_class_uid: str, relational: bool) -> Selection:
    """Selection that an identifier asks for.

    Parameters
    ----------
    keys
        Identifier.
    sop_class_uid
        Information model.
    relational
        Whether the unique keys of upper levels may be left out.

    Raises
    ------
    InvalidMessage
        The level is none of the model, a unique key is missing, or there are too many.
    """
    level = level_of(keys, sop_class_uid)
    if not relational:
        require_unique_keys_above(keys, level, sop_class_uid)
    _require_own_key(keys, level)
    models = levels_of(sop_class_uid)
    down_to = {UNIQUE_KEYS[name] for name in models[: models.index(level) + 1]}

    def uids(tag: int) -> list[str]:
        return keys.uids(tag) if tag in down_to else []

    selection = Selection(
        patient_id=(keys.text(PATIENT_ID) or None) if PATIENT_ID in down_to else None,
        issuer_of_patient_id=(keys.text(ISSUER_OF_PATIENT_ID) or None) if PATIENT_ID in down_to else None,
        study_instance_uids=uids(STUDY_INSTANCE_UID),
        series_instance_uids=uids(SERIES_INSTANCE_UID),
        sop_instance_uids=uids(SOP_INSTANCE_UID),
    )
    if max(map(len, (selection.study_instance_uids, selection.series_instance_uids))) > _MAX_UIDS or (
        len(selection.sop_instance_uids) > _MAX_UIDS
    ):
        raise InvalidMessage(f"more than {_MAX_UIDS} UIDs: ask in several requests")
    return selection


def _require_own_key(keys: Keys, level: QueryLevel) -> None:
    value = keys.text(UNIQUE_KEYS[level])
    forbidden = "*?\\" if level == "PATIENT" else "*?"
    if not value or any(mark in value for mark in forbidden):
        raise InvalidMessage(f"the unique key of {level} level must be given, without wildcards")
