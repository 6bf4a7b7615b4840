"""SOP Class Extended Negotiation of Query/Retrieve: what a requestor may ask for beyond the baseline. Pure.

Service class application information is one byte per ability, 1 when it is proposed or agreed (PS3.4 C.5.1.1 for
C-FIND, C.5.2.1 and C.5.3.1 for C-MOVE and C-GET).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from producers.store.conditions import LITERAL, Matching

PATIENT_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.1.1"
PATIENT_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.1.2"
PATIENT_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"

FIND_CLASSES: Final = (PATIENT_ROOT_FIND, STUDY_ROOT_FIND)
MOVE_CLASSES: Final = (PATIENT_ROOT_MOVE, STUDY_ROOT_MOVE)
GET_CLASSES: Final = (PATIENT_ROOT_GET, STUDY_ROOT_GET)

#: Relational queries, ranges of moments, and names that match nearly; not: timezones, enhanced multi-frame images.
_FIND_ABILITIES: Final = b"\x01\x01\x01\x00\x00"
#: Relational retrieval; not: conversion of enhanced multi-frame images.
_RETRIEVE_ABILITIES: Final = b"\x01\x00"


def find_information(proposed: bytes) -> bytes:
    """What is accepted of an extended negotiation of C-FIND."""
    return _common(proposed, _FIND_ABILITIES)


def retrieve_information(proposed: bytes) -> bytes:
    """What is accepted of an extended negotiation of C-MOVE or C-GET."""
    return _common(proposed, _RETRIEVE_ABILITIES)


def _common(proposed: bytes, abilities: bytes) -> bytes:
    return bytes(wanted & able & 1 for wanted, able in zip(proposed, abilities, strict=False))


@dataclass(frozen=True)
class Agreed:
    """What a requestor and we agreed on for one SOP class."""

    relational: bool = False
    matching: Matching = LITERAL


def agreed(sop_class_uid: str, information: Mapping[str, bytes]) -> Agreed:
    """Meaning of the application information that was accepted.

    Parameters
    ----------
    sop_class_uid
        Of the operation.
    information
        SOP class → what of it was accepted.
    """
    flags = information.get(sop_class_uid, b"").ljust(3, b"\0")
    if sop_class_uid not in FIND_CLASSES:
        return Agreed(relational=flags[0] == 1)
    return Agreed(flags[0] == 1, Matching(fuzzy_names=flags[2] == 1, combined_datetime=flags[1] == 1))
