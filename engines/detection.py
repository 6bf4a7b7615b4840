"""Boxes with scores → findings with a box on an image each, or in the patient.

Boxes are turned back from the graph's window to the pixels of the source image, the overlapping ones of a class
are suppressed, and those of neighbouring images are joined; the best ones are kept and numbered best first.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.activation import activated
from engines.boxes import joined, suppressed
from engines.findings import category, evidence, laterality, named
from engines.graph import Graph
from engines.outcome import Found
from engines.output_policy import Detected, DetectionOutput
from engines.places import frame_of_reference, on_image, point_in_patient
from engines.preprocess import Sample, Series
from engines.reading import Reading, RowOutputs, Score
from schemas.errors import InvalidInput
from schemas.events import Code, Laterality, Location, LocationKind, Measurement

Floats = NDArray[np.float64]

_MILLIMETRE = Code("mm", "UCUM", "millimeter")


@dataclass(frozen=True)
class _Box:
    """A box on the source: (2, 2) of row, column on a frame, or (2, 3) of slice, row, column; edges of pixels."""

    frame: int
    corners: Floats
    score: float


class DetectionReader:
    """Outputs of a detection.

    Parameters
    ----------
    output
        What they mean.
    graph
        How the input is laid out.
    series
        What they are about.
    threshold
        In place of the declared ones, if a requester set it.
    """

    def __init__(self, output: DetectionOutput, graph: Graph, series: Series, threshold: float | None) -> None:
        self._output = output
        self._graph = graph
        self._series = series
        self._threshold = threshold
        self._boxes: dict[int, list[_Box]] = {label.index: [] for label in output.labels}

    def take(self, sample: Sample, start: tuple[int, ...], outputs: RowOutputs) -> None:
        """See :class:`engines.reading.Reader`."""
        scores, corners = self._scores(outputs), self._corners(outputs, sample)
        for label in self._output.labels:
            column = scores[:, label.index]
            for index in np.flatnonzero(column >= self._cut(label)).tolist():
                native = self._on_the_source(sample, corners[index] + np.array(start, np.float64))
                if (native[1] > native[0]).all():
                    self._boxes[label.index].append(_Box(sample.frame, native, float(column[index])))

    def score(self, outputs: RowOutputs) -> Score:
        """Score of the best box."""
        indexes = [label.index for label in self._output.labels]

        def best(other: RowOutputs) -> float:
            scores = self._scores(other)[:, indexes]
            return float(scores.max()) if scores.size else 0.0

        del outputs  # which box is best may change with what is covered
        return best

    def finish(self) -> Generator[float, None, Reading]:
        """See :class:`engines.reading.Reader`."""
        groups: list[tuple[Detected, list[_Box]]] = []
        for place, label in enumerate(self._output.labels, start=1):
            groups += [(label, group) for group in self._together(self._boxes[label.index])]
            yield place / len(self._output.labels)
        groups.sort(key=lambda item: (-item[1][0].score, item[1][0].frame, item[1][0].corners.ravel().tolist()))
        numbers: dict[str, int] = {}
        found = []
        for label, group in groups[: self._output.maximum]:
            numbers[label.finding_type] = numbers.get(label.finding_type, 0) + 1
            found.append(self._found(label, group, numbers[label.finding_type]))
        left_out = len(groups) - len(found)
        unusual = (f"{left_out} weaker boxes of {len(groups)} were left out.",) if left_out else ()
        return Reading(tuple(found), unusual=unusual)

    def _together(self, boxes: list[_Box]) -> list[list[_Box]]:
        """Boxes that are one thing, the best of each first."""
        kept: list[_Box] = []
        for frame in sorted({box.frame for box in boxes}):
            here = [box for box in boxes if box.frame == frame]
            corners = np.stack([box.corners for box in here])
            scores = np.array([box.score for box in here])
            kept += [here[index] for index in suppressed(corners, scores, self._output.overlap)]
        if not kept:
            return []
        place = list(range(len(kept)))
        if self._output.join_slices and self._series.volume.affine is not None and kept[0].corners.shape[1] == 2:
            place = joined(
                [box.frame for box in kept], np.stack([box.corners for box in kept]), self._output.overlap
            )
        groups: dict[int, list[_Box]] = {}
        for root, box in zip(place, kept, strict=True):
            groups.setdefault(root, []).append(box)
        return [sorted(group, key=lambda box: (-box.score, box.frame)) for group in groups.values()]

    def _found(self, label: Detected, group: list[_Box], number: int) -> Found:
        best = group[0]
        score = round(min(1.0, best.score), 6)
        sides = self._sides_mm(best)
        numbers = {"probability": score, **({} if sides is None else {"length": max(sides)})}
        measurements: tuple[Measurement, ...] = ()
        if label.length is not None and sides is not None:
            measurements = (Measurement(label.length.code(), round(max(sides), 1), _MILLIMETRE),)
        strength = np.zeros(len(self._series.volume.frames))
        for box in group:
            strength[self._slice(box)] = max(strength[self._slice(box)], box.score)
        return Found(
            **named(label),
            number=number,
            category=category(label, numbers),
            measurements=measurements,
            probability=score,
            laterality=self._laterality(label, best),
            locations=self._locations(best),
            evidence=evidence(self._series.volume, strength, label.evidence),
        )

    def _locations(self, box: _Box) -> tuple[Location, ...]:
        volume = self._series.volume
        (top, left), (bottom, right) = box.corners[:, -2:].tolist()
        corners = tuple(round(value, 3) for value in (left, top, right, bottom))
        shown = on_image(volume, LocationKind.BOX, self._slice(box), corners)
        space = frame_of_reference(volume) if box.corners.shape[1] == 3 else None
        if space is None:
            return (shown,)
        centre = point_in_patient(volume, self._centre(box))
        return (shown, Location(LocationKind.POINT_3D, centre, frame_of_reference_uid=space))

    def _laterality(self, label: Detected, box: _Box) -> Laterality | None:
        volume = self._series.volume
        if label.laterality != "by-place" or volume.affine is None:
            return laterality(label, None)
        slices, rows, columns = volume.shape
        middle = point_in_patient(volume, ((slices - 1) / 2, (rows - 1) / 2, (columns - 1) / 2))
        return laterality(label, float(point_in_patient(volume, self._centre(box))[0] > middle[0]))

    def _centre(self, box: _Box) -> tuple[float, float, float]:
        """In voxels whose centres are whole numbers."""
        middle = box.corners.mean(axis=0) - 0.5
        row, column = float(middle[-2]), float(middle[-1])
        return (float(middle[0]) if len(middle) == 3 else float(box.frame), row, column)

    def _slice(self, box: _Box) -> int:
        if box.corners.shape[1] == 2:
            return box.frame
        return int(np.clip(np.floor(box.corners[:, 0].mean()), 0, len(self._series.volume.frames) - 1))

    def _sides_mm(self, box: _Box) -> list[float] | None:
        volume = self._series.volume
        sides = box.corners[1] - box.corners[0]
        if volume.affine is not None:
            return [float(side) * step for side, step in zip(sides, volume.spacing_mm[-len(sides) :], strict=True)]
        frame = volume.frames[box.frame]
        if frame.value("PixelSpacing") is None:
            return None
        return [float(side * step) for side, step in zip(sides, frame.numbers("PixelSpacing", 2), strict=True)]

    def _scores(self, outputs: RowOutputs) -> NDArray[np.float32]:
        """(boxes, classes)."""
        names = self._output.tensors
        scores = np.asarray(outputs[names.scores], np.float32)
        highest = max(label.index for label in self._output.labels)
        if names.classes is not None:
            classes = np.rint(np.asarray(outputs[names.classes])).astype(np.intp).reshape(-1)
            if scores.size != classes.size:
                raise InvalidInput(f"{names.scores} and {names.classes} tell of different numbers of boxes")
            spread = np.zeros((len(classes), max(highest, int(classes.max(initial=0))) + 1), np.float32)
            known = classes >= 0
            spread[np.flatnonzero(known), classes[known]] = scores.reshape(-1)[known]
            scores = spread
        scores = scores[:, np.newaxis] if scores.ndim == 1 else scores
        if scores.ndim != 2 or scores.shape[1] <= highest:
            raise InvalidInput(
                f"the output {names.scores} has the shape {list(scores.shape)} and class {highest} is read: "
                "correct metadata.json or the model"
            )
        return activated(scores, self._output.activation, names.scores) if scores.size else scores

    def _corners(self, outputs: RowOutputs, sample: Sample) -> Floats:
        """(boxes, 2, axes) in the window, axes x, y (and z)."""
        names = self._output.tensors
        axes = len(names.order)
        values = np.asarray(outputs[names.boxes], np.float64)
        if values.ndim != 2 or values.shape[1] != 2 * axes or len(values) != len(self._scores(outputs)):
            raise InvalidInput(
                f"the output {names.boxes} has the shape {list(values.shape)} and {2 * axes} numbers for each "
                "score are read: correct metadata.json or the model"
            )
        first, second = values[:, :axes], values[:, axes:]
        if names.format == "centre-size":
            first, second = first - second / 2, first + second / 2
        elif names.format == "corner-size":
            second = first + second
        order = [names.order.index(letter.lower()) for letter in self._graph.spatial]
        corners = np.stack([first[:, order], second[:, order]], axis=1)
        return corners * np.array(sample.placement.window) if names.units == "relative" else corners

    def _on_the_source(self, sample: Sample, corners: Floats) -> Floats:
        """Corners on the scaled grid as (slice,) row, column of the source, inside of it."""
        placement, orientation = sample.placement, self._series.orientation
        native = corners * np.array(placement.native) / np.array(placement.scaled)
        native = np.clip(native, 0, np.array(placement.native))
        for axis, flipped in enumerate(orientation.flipped[: native.shape[1]]):
            if flipped:
                native[:, axis] = placement.native[axis] - native[::-1, axis]
        order = np.argsort(orientation.axes[: native.shape[1]])
        return np.asarray(native[:, order])

    def _cut(self, label: Detected) -> float:
        return self._threshold if self._threshold is not None else label.threshold or self._output.threshold
