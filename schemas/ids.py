"""Deterministic identifiers: the same thing always has the same id, so a second write is the same write.

Event ids are UUIDv5 of what the event is about (RFC 9562 5.5); UIDs of DICOM objects that we create are
``2.25.<uuid>`` (PS3.5 B.2) of the same kind of name.
"""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from typing import Final

NAMESPACE: Final = uuid.UUID("6a0cf1f7-7f54-5bb1-9d0e-5c0d2f0e51a1")


def deterministic_uuid(kind: str, *parts: str | int) -> uuid.UUID:
    """UUIDv5 of ``kind`` and its parts.

    Parameters
    ----------
    kind
        What is identified, such as ``study-ready``; two kinds never share an id.
    parts
        What makes it unique within its kind: any text, as ids of other producers are among them.
    """
    texts = [str(part) for part in parts]
    # a part that holds the separator is quoted, else two different things could share an id
    name = f"{kind}={json.dumps(texts)}" if any("|" in text for text in texts) else "|".join([kind, *texts])
    return uuid.uuid5(NAMESPACE, name)


def event_id(kind: str, *parts: str | int) -> str:
    """Text form of :func:`deterministic_uuid`."""
    return str(deterministic_uuid(kind, *parts))


def dicom_uid(kind: str, *parts: str | int) -> str:
    """UID for a DICOM object that we create (PS3.5 B.2), at most 44 characters."""
    return f"2.25.{deterministic_uuid(kind, *parts).int}"


def task_id(study_instance_uid: str, revision: int, model_name: str, request: str = "") -> str:
    """Identifier of one inference task.

    ``request`` distinguishes a task that somebody asked for from the one that the arrival of the study made.
    """
    return event_id("task", study_instance_uid, revision, model_name, request)


def uuid_of(identifier: str) -> uuid.UUID:
    """UUID that stands for an identifier and for no other: the one that it is the text of, or one made of it.

    Tasks of our own have UUIDs; those of another producer may have any text.
    """
    with suppress(ValueError):
        found = uuid.UUID(identifier)
        if str(found) == identifier:  # another spelling is another identifier
            return found
    return uuid.uuid5(NAMESPACE, identifier)
