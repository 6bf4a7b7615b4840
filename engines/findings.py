"""Declared meaning + numbers → the parts that findings of every task share. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engines.output_policy import Meaning
from engines.volume import Volume
from schemas.events import Category, Code, Laterality

#: A finding is on one side when this share of it is.
ONE_SIDE: Final = 0.9


def category(meaning: Meaning, numbers: Mapping[str, float]) -> Category:
    """How soon a person must see it: that of the first rule that holds.

    Parameters
    ----------
    meaning
        Rules.
    numbers
        Kind of measurement → value; a rule about one that is not there never holds.
    """
    for rule in meaning.rules:
        if rule.of in numbers and numbers[rule.of] >= rule.at_least:
            return rule.category
    return meaning.category


def named(meaning: Meaning) -> dict[str, Any]:
    """Type, code and site of a finding."""
    site: Code | None = None if meaning.site is None else meaning.site.code()
    return {"finding_type": meaning.finding_type, "code": meaning.finding.code(), "site": site}


def evidence(volume: Volume, strength: Sequence[float] | NDArray[Any], count: int) -> tuple[str, ...]:
    """SOP Instance UIDs of the images that show it best, best first.

    Parameters
    ----------
    volume
        Its frames are what ``strength`` is about.
    strength
        How much of it each frame shows; frames that show nothing have 0 and are never named.
    count
        Most images.
    """
    values = np.asarray(strength, np.float64)
    best = [int(index) for index in np.argsort(-values, kind="stable")[: max(count, 0) * 4] if values[index] > 0]
    return tuple(dict.fromkeys(volume.frames[index].sop_instance_uid for index in best))[:count]


def laterality(meaning: Meaning, left_share: float | None) -> Laterality | None:
    """Side of a finding.

    Parameters
    ----------
    meaning
        Whether it is fixed, or found by place.
    left_share
        Share of it to the left of the middle of the images; ``None`` where there is no place.
    """
    if meaning.laterality != "by-place":
        return meaning.laterality
    if left_share is None:
        return None
    if left_share >= ONE_SIDE:
        return Laterality.LEFT
    return Laterality.RIGHT if left_share <= 1 - ONE_SIDE else Laterality.BILATERAL


def left_share(volume: Volume, mask: NDArray[np.bool_]) -> float | None:
    """Share of a mask that lies to the patient's left of the middle of the images, slice by slice."""
    if volume.affine is None:
        return None
    affine = volume.affine
    middle = (np.array(mask.shape) - 1) / 2 @ affine[0, :3]
    left = total = 0
    for index in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
        rows, columns = np.nonzero(mask[index])
        along = affine[0, 0] * index + affine[0, 1] * rows + affine[0, 2] * columns
        left += int(np.count_nonzero(along > middle))
        total += len(rows)
    return left / total if total else None
