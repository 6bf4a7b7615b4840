"""Findings and their marks → the few frames that show them best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from consumers.dicom.marks import Mark
from consumers.dicom.planes import Frame
from schemas.events import Category, Finding, InferenceResult

#: Most key images of one result: a person looks at a few, the others are in the segmentation and the report.
MOST_KEY_IMAGES: Final = 8

_URGENCY: Final = {category: place for place, category in enumerate(Category)}


def by_urgency(result: InferenceResult) -> list[tuple[int, Finding]]:
    """Findings with their numbers from 1, the most urgent first."""
    numbered = list(enumerate(result.findings, start=1))
    return sorted(numbered, key=lambda item: (_URGENCY[item[1].category], item[0]))


def best_frames(
    result: InferenceResult, frames: Sequence[Frame], marks: Mapping[int, Sequence[Mark]]
) -> dict[int, int]:
    """Number of each finding that can be shown → index of the frame that shows it best, the most urgent first.

    That is the frame of its evidence on which most of it lies, else the frame with most of it, else its first
    image of evidence.
    """
    sizes: dict[int, dict[int, float]] = {}
    for index, members in marks.items():
        for mark in members:
            of_finding = sizes.setdefault(mark.number, {})
            of_finding[index] = of_finding.get(index, 0.0) + 1.0 + _area(mark)
    of_image: dict[str, list[int]] = {}
    for index, frame in enumerate(frames):
        of_image.setdefault(frame.sop_instance_uid, []).append(index)
    found = {}
    for number, finding in by_urgency(result):
        cited = sorted(index for uid in set(finding.evidence) for index in of_image.get(uid, ()))
        drawn = sizes.get(number, {})
        both = [index for index in cited if index in drawn]
        candidates = both or list(drawn) or cited
        if candidates:
            found[number] = max(candidates, key=lambda index: (drawn.get(index, 0.0), -index))
    return found


def _area(mark: Mark) -> float:
    after = np.roll(mark.points, -1, axis=0)
    return abs(float(np.sum(mark.points[:, 0] * after[:, 1] - after[:, 0] * mark.points[:, 1]))) / 2
