"""Score of each class for each row → a finding for each class that is at or above its threshold.

The rows of a series (images, or windows of one) are brought together as declared; evidence are the images with
the highest scores.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from engines.activation import activated
from engines.findings import category, evidence, laterality, named
from engines.outcome import Found
from engines.output_policy import ClassificationOutput, Label
from engines.preprocess import Sample, Series
from engines.reading import Reading, RowOutputs, Score
from schemas.errors import InvalidInput

Floats = NDArray[np.float32]


class ClassificationReader:
    """Outputs of a classification.

    Parameters
    ----------
    output
        What they mean.
    series
        What they are about.
    name
        Name of the output.
    threshold
        In place of the declared ones, if a requester set it.
    """

    def __init__(self, output: ClassificationOutput, series: Series, name: str, threshold: float | None) -> None:
        self._output = output
        self._series = series
        self._name = name
        self._threshold = threshold
        self._rows: list[Floats] = []
        self._frames: list[int] = []

    def take(self, sample: Sample, start: tuple[int, ...], outputs: RowOutputs) -> None:
        """See :class:`engines.reading.Reader`."""
        del start  # a class is not a place
        self._rows.append(self._scores(outputs))
        self._frames.append(sample.frame)

    def score(self, outputs: RowOutputs) -> Score:
        """Score of the reported class that is furthest above its threshold, or nearest to it."""
        index = self.strongest(outputs)
        return lambda other: float(self._scores(other)[index])

    def strongest(self, outputs: RowOutputs) -> int:
        """Index of the class of :meth:`score`."""
        scores = self._scores(outputs)
        reported = [label for label in self._output.labels if label.report] or list(self._output.labels)
        return max(reported, key=lambda label: float(scores[label.index]) - self._cut(label)).index

    def finish(self) -> Generator[float, None, Reading]:
        """See :class:`engines.reading.Reader`."""
        scores = np.stack(self._rows)
        yield 0.5
        found = []
        for label in self._output.labels:
            column = scores[:, label.index]
            probability = self._together(column)
            if label.report and probability >= self._cut(label):
                found.append(self._found(label, column, probability))
        return Reading(tuple(found))

    def _found(self, label: Label, column: Floats, probability: float) -> Found:
        volume = self._series.volume
        strength = np.zeros(len(volume.frames))
        np.maximum.at(strength, self._frames, column)
        shown = evidence(volume, strength, label.evidence) if self._series.policy.dimensions == "2d" else ()
        rounded = round(min(1.0, max(0.0, probability)), 6)
        return Found(
            **named(label),
            number=label.index + 1,
            category=category(label, {"probability": rounded}),
            probability=rounded,
            laterality=laterality(label, None),
            evidence=shown,
        )

    def _scores(self, outputs: RowOutputs) -> Floats:
        values = np.asarray(outputs[self._name], np.float32).reshape(-1)
        highest = max(label.index for label in self._output.labels)
        if highest >= len(values):
            raise InvalidInput(
                f"the output {self._name} has {len(values)} classes and class {highest} is read (from 0): "
                "correct metadata.json or the model"
            )
        return activated(values, self._output.activation, self._name)

    def _together(self, column: Floats) -> float:
        if self._output.aggregation == "maximum":
            return float(column.max())
        if self._output.aggregation == "mean":
            return float(column.mean(dtype=np.float64))
        best = np.sort(column)[-max(1, -(-len(column) // 10)) :]
        return float(best.mean(dtype=np.float64))

    def _cut(self, label: Label) -> float:
        return self._threshold if self._threshold is not None else label.threshold or self._output.threshold
