"""Which part of the input the answer depends on → heatmaps on the source images.

For any engine by occlusion: one patch after the other is covered, and the heat is how much the score falls. Where
the graph exports the maps before its last, linear layer, they are weighted instead (class activation mapping).
Both are made for the rows with the highest scores; elsewhere the heat is 0.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.base import Tensors
from engines.classification import ClassificationReader
from engines.graph import Graph
from engines.outcome import ArrayOutput
from engines.output_policy import HeatmapPolicy
from engines.preprocess import Sample, Series
from engines.reading import Reader, RowOutputs, Score
from engines.resample import resample
from engines.steps import Infer
from engines.turned import contiguous
from schemas.errors import InvalidInput
from schemas.events import Code

Floats = NDArray[np.float32]

#: More voxels make a heatmap of over 1 GB, which no viewer shows.
MOST_VOXELS: Final = 2**28

#: PS3.16 has no codes for these, so they are ours (PS3.3 8.2: designators that begin with 99 are private).
OCCLUSION: Final = Code("occlusion", "99SCANSTREAM", "Occlusion sensitivity")
ACTIVATION: Final = Code("activation", "99SCANSTREAM", "Class activation")
NO_UNITS: Final = Code("1", "UCUM", "no units")


@dataclass(order=True)
class _Kept:
    """A row that is explained; of equal scores the first."""

    score: float
    order: int
    sample: Sample = field(compare=False)
    start: tuple[int, ...] = field(compare=False)
    measure: Score = field(compare=False)
    outputs: RowOutputs = field(compare=False)


class Explainer:
    """Keeps the rows with the highest scores, and explains them at the end.

    Parameters
    ----------
    policy
        How.
    graph
        How rows are laid out.
    series
        What they are about.
    names
        Outputs that are read.
    reader
        Says what the score is.
    """

    def __init__(
        self, policy: HeatmapPolicy, graph: Graph, series: Series, names: tuple[str, ...], reader: Reader
    ) -> None:
        self._policy = policy
        self._graph = graph
        self._series = series
        self._names = names
        self._reader = reader
        self._most = policy.images if series.policy.dimensions == "2d" else 1
        self._kept: list[_Kept] = []
        self._taken = 0

    def take(self, sample: Sample, start: tuple[int, ...], outputs: RowOutputs) -> None:
        """Remember a row if it is among the best."""
        measure = self._reader.score(outputs)
        score = measure(outputs)
        self._taken += 1
        if len(self._kept) == self._most and score <= self._kept[0].score:
            return
        kept = _Kept(score, -self._taken, sample, start, measure, dict(outputs))
        if len(self._kept) < self._most:
            heapq.heappush(self._kept, kept)
        else:
            heapq.heapreplace(self._kept, kept)

    def steps(self) -> int:
        """How many requests :meth:`run` will make."""
        if self._policy.method == "activation":
            return 0
        patches: int = self._policy.patches ** len(self._graph.spatial)
        return len(self._kept) * -(-patches // self._graph.batch)

    def run(self) -> Generator[Infer | None, Tensors | None, ArrayOutput | None]:
        """Heatmap on the source images; ``None`` where it would be too large, or images differ in size."""
        volume = self._series.volume
        sizes = {frame.shape for frame in volume.frames}
        if len(sizes) != 1 or int(np.prod(volume.shape)) > MOST_VOXELS:
            return None
        heat = np.zeros(volume.shape, np.float32)
        for kept in sorted(self._kept, reverse=True):
            if self._policy.method == "activation":
                window = self._activation(kept)
                yield None
            else:
                window = yield from self._occlusion(kept)
            self._put(heat, kept, window)
        told = ACTIVATION if self._policy.method == "activation" else OCCLUSION
        quantity = told if self._policy.quantity is None else self._policy.quantity.code()
        unit = NO_UNITS if self._policy.unit is None else self._policy.unit.code()
        return ArrayOutput("heatmap", volume.in_source_order(heat), quantity=quantity, unit=unit)

    def _occlusion(self, kept: _Kept) -> Generator[Infer | None, Tensors | None, Floats]:
        """Fall of the score for each patch, spread over the window."""
        row = kept.sample.row(kept.start)
        shape = row.shape[:-1]
        falls = np.zeros((self._policy.patches,) * len(shape), np.float32)
        places = list(np.ndindex(falls.shape))
        cover = row.mean(axis=tuple(range(len(shape))))
        for first in range(0, len(places), self._graph.batch):
            part = places[first : first + self._graph.batch]
            covered = [_covered(row, place, self._policy.patches, cover) for place in part]
            answer = yield Infer({self._graph.input.name: self._graph.tensor(covered)})
            for place, outputs in zip(part, self._graph.rows(answer, self._names, len(part)), strict=True):
                falls[place] = kept.score - kept.measure(outputs)
        return resample(falls, shape)

    def _activation(self, kept: _Kept) -> Floats:
        policy = self._policy
        name = policy.tensor or ""
        maps = self._graph.spatial_first(kept.outputs[name], policy.layout, name)
        weights = np.array(policy.weights, np.float32)
        if weights.shape[1] != maps.shape[-1]:
            raise InvalidInput(
                f"the output {name} has {maps.shape[-1]} maps and heatmap.weights {weights.shape[1]} columns: "
                "correct metadata.json or the model"
            )
        if not isinstance(self._reader, ClassificationReader):
            raise InvalidInput("activation maps are of classifications: correct metadata.json")
        weighted = maps @ weights[self._reader.strongest(kept.outputs)]
        return resample(np.maximum(weighted, 0), kept.sample.placement.window)

    def _put(self, heat: Floats, kept: _Kept, window: Floats) -> None:
        placement = kept.sample.placement
        inside, at = placement.inside(kept.start)
        scaled = np.zeros(placement.scaled, np.float32)
        scaled[inside] = window[at]
        if self._series.policy.dimensions == "2d":
            plane = self._series.plane_to_native(scaled)
            np.maximum(heat[kept.sample.frame], resample(plane, heat.shape[1:]), out=heat[kept.sample.frame])
        else:
            native = contiguous(self._series.orientation.to_native(scaled))
            heat[...] = resample(native, heat.shape)


def _covered(row: Floats, place: tuple[int, ...], patches: int, cover: Floats) -> Floats:
    made = row.copy()
    made[tuple(_edges(row.shape, place, patches))] = cover
    return made


def _edges(shape: tuple[int, ...], place: tuple[int, ...], patches: int) -> Iterator[slice]:
    for axis, index in enumerate(place):
        yield slice(shape[axis] * index // patches, max(1, shape[axis] * (index + 1) // patches))
