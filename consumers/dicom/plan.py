"""A destination's choice of objects: presets by the name of a viewer, or kinds one by one. Pure.

::

    ohif      SEG, SR                        draws binary SEG and planar SR
    weasis    SEG, GSPS                      draws presentation states; SR are links there
    orthanc   SEG, SR, PM, KOS               keeps and shows anything
    no-sr     SC, GSPS                       a PACS that knows images and nothing else
    all       every kind
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schemas.errors import ConfigurationError
from schemas.terminology import Language


class ObjectKind(StrEnum):
    """What can be made of a result."""

    SEG = "seg"
    FRACTIONAL = "seg-fractional"
    SR = "sr"
    SR_2D = "sr-2d"
    GSPS = "gsps"
    SC = "sc"
    PM = "pm"
    KOS = "kos"


PRESETS: Final[dict[str, frozenset[ObjectKind]]] = {
    "ohif": frozenset({ObjectKind.SEG, ObjectKind.SR}),
    "weasis": frozenset({ObjectKind.SEG, ObjectKind.GSPS}),
    "orthanc": frozenset({ObjectKind.SEG, ObjectKind.SR, ObjectKind.PM, ObjectKind.KOS}),
    "no-sr": frozenset({ObjectKind.SC, ObjectKind.GSPS}),
    "all": frozenset(ObjectKind),
}


@dataclass(frozen=True)
class Plan:
    """What one destination is sent.

    Attributes
    ----------
    kinds
        Kinds of objects; those that a result gives no reason for are left out.
    language
        Of labels and texts for people; coded values are the same in all.
    """

    kinds: frozenset[ObjectKind] = PRESETS["ohif"]
    language: Language = Language.ENGLISH


def plan_of(objects: str, language: Language) -> Plan:
    """Plan of a setting: the name of a preset, or kinds separated by commas.

    Raises
    ------
    ConfigurationError
        A word is neither.
    """
    preset = PRESETS.get(objects.strip().lower())
    if preset is not None:
        return Plan(preset, language)
    words = [word for part in objects.split(",") if (word := part.strip().lower())]
    known = {kind.value for kind in ObjectKind}
    unknown = [word for word in words if word not in known]
    if unknown or not words:
        raise ConfigurationError(
            f"SCANSTREAM_STOW_OBJECTS is {objects!r}: name a preset ({', '.join(PRESETS)}) or some of "
            f"{', '.join(sorted(known))}"
        )
    return Plan(frozenset(ObjectKind(word) for word in words), language)


def plan_for(plan: Plan, asked: Collection[str]) -> Plan:
    """Plan for one result: the kinds that its requester asked for, else those of the destination.

    A kind that this release does not know is left out; where none is left, the destination's own stand.
    """
    kinds = frozenset(kind for kind in ObjectKind if kind.value in asked)
    return Plan(kinds, plan.language) if kinds else plan
