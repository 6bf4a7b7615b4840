"""Probability or label of each voxel → masks on the source images, with their measurements and findings.

Guarantee: a mask lies on exactly the voxels of the source images, in their order; segments without a voxel are
neither masks nor findings, and the others are numbered from 1 without gaps, as a Segmentation needs it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.activation import activated
from engines.components import areas, keep_components
from engines.domain import output_warnings
from engines.findings import category, evidence, laterality, left_share, named
from engines.graph import Graph
from engines.input_policy import Tiles
from engines.metadata import Domain
from engines.outcome import ArrayOutput, Found
from engines.output_policy import MeasurementPolicy, Segment, SegmentationOutput
from engines.pixels import modality_values
from engines.places import box_locations, centre_location
from engines.preprocess import Sample, Series
from engines.reading import Reading, RowOutputs, Score
from engines.resample import resample, slices_at_least
from engines.stitch import Stitcher
from engines.turned import contiguous
from schemas.errors import InvalidInput
from schemas.events import Location, Measurement

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Something urgent is let in after so many slices.
_SLICES_BETWEEN_STEPS: Final = 16
#: mm3 and so on in one mL.
_IN_ONE_ML: Final = {"mL": 1.0, "cm3": 1.0, "mm3": 1000.0}


class SegmentationReader:
    """Outputs of a segmentation.

    Parameters
    ----------
    output
        What they mean.
    domain
        What is plausible.
    graph
        How they are laid out.
    series
        What they are about.
    name
        Name of the output.
    threshold
        In place of the declared ones, if a requester set it.
    """

    def __init__(
        self,
        output: SegmentationOutput,
        domain: Domain,
        graph: Graph,
        series: Series,
        name: str,
        threshold: float | None,
    ) -> None:
        self._output = output
        self._domain = domain
        self._graph = graph
        self._series = series
        self._name = name
        self._thresholds = [
            threshold if threshold is not None else segment.threshold or output.threshold
            for segment in output.segments
        ]
        self._tiles: Tiles | None = series.policy.tiles
        self._stitcher: Stitcher | None = None
        self._volume: Floats | None = None
        self._masks: list[Mask] = []
        self._maps: list[Floats] = []
        self._certain = [_Certainty() for _ in output.segments]

    def take(self, sample: Sample, start: tuple[int, ...], outputs: RowOutputs) -> None:
        """Windows of a sample come one after the other; see :class:`engines.reading.Reader`."""
        if self._stitcher is None:
            self._stitcher = Stitcher(sample.placement, self._tiles)
        whole = self._stitcher.add(start, self._segments(outputs), self._name)
        if whole is None:
            return
        self._stitcher = None
        for certainty, threshold, part in zip(self._certain, self._cut(), np.moveaxis(whole, -1, 0), strict=True):
            certainty.add(part, threshold)
        if self._series.policy.dimensions == "3d":
            self._volume = whole
        else:
            self._frame(sample.frame, whole)

    def score(self, outputs: RowOutputs) -> Score:
        """Mean probability of the voxels that are now in a segment."""
        base = self._segments(outputs)
        region = base >= np.array(self._cut(), np.float32)
        region &= np.array([segment.report for segment in self._output.segments])
        if not region.any():
            region = base >= base.max()
        return lambda other: float(self._segments(other)[region].mean())

    def finish(self) -> Generator[float, None, Reading]:
        """See :class:`engines.reading.Reader`."""
        volume = self._series.volume
        if self._volume is not None:
            yield from self._on_the_images(self._volume)
            self._volume = None
        found: list[Found] = []
        arrays: list[ArrayOutput] = []
        maps: list[ArrayOutput] = []
        unusual: tuple[str, ...] = ()
        for place, segment in enumerate(self._output.segments):
            measured = volume.affine is not None
            voxel_ml = volume.voxel_ml if measured else 0.0
            smallest = segment.minimum_volume_ml / voxel_ml if voxel_ml else 0.0
            mask, count = self._masks[place], int(self._masks[place].any())
            if _components_matter(segment):
                yield place / len(self._output.segments)
                mask, count = keep_components(mask, segment.keep, smallest, joined=measured)
                self._masks[place] = mask
            yield (place + 0.5) / len(self._output.segments)
            shown = areas(mask)
            volume_ml = float(shown.sum()) * voxel_ml
            if segment.expected and measured:
                unusual += output_warnings(self._domain, segment.label, shown, volume_ml)
            if not count or not segment.report:
                continue
            number = len(found) + 1
            numbers = {"volume": volume_ml, "count": float(count)}
            found.append(self._found(segment, place, mask, shown, numbers, number))
            arrays.append(ArrayOutput("mask", volume.in_source_order(mask), number))
            if self._maps:
                maps.append(ArrayOutput("probability", volume.in_source_order(self._maps[place]), number))
        return Reading(tuple(found), (*arrays, *maps), unusual)

    def _segments(self, outputs: RowOutputs) -> Floats:
        """Probability of each segment, x, y (and z) first."""
        output = self._output
        values = self._graph.spatial_first(outputs[self._name], output.layout, self._name)
        channels = [segment.channel for segment in output.segments]
        if output.activation == "labels":
            return np.stack([values[..., 0] == channel for channel in channels], axis=-1).astype(np.float32)
        if max(channels) >= values.shape[-1]:
            raise InvalidInput(
                f"the output {self._name} has {values.shape[-1]} channels and channel {max(channels)} is read: "
                "correct metadata.json or the model"
            )
        probability = activated(values, output.activation, self._name)
        if output.exclusive:
            best = probability.argmax(axis=-1)
            chosen = [
                (best == channel) & (probability[..., channel] >= threshold)
                for channel, threshold in zip(channels, self._thresholds, strict=True)
            ]
            return np.stack(chosen, axis=-1).astype(np.float32)
        if channels == list(range(probability.shape[-1])):
            return probability
        return probability[..., channels]

    def _cut(self) -> list[float]:
        """From where on a voxel belongs to a segment, in what :meth:`_segments` gives."""
        if self._output.exclusive or self._output.activation == "labels":
            return [0.5] * len(self._thresholds)
        return self._thresholds

    def _on_the_images(self, whole: Floats) -> Generator[float, None, None]:
        shape = self._series.volume.shape
        for place, threshold in enumerate(self._cut()):
            native = contiguous(self._series.orientation.to_native(whole[..., place]))
            mask = np.empty(shape, np.bool_)
            for index, plane in enumerate(slices_at_least(native, shape, threshold), start=1):
                mask[index - 1] = plane
                if index % _SLICES_BETWEEN_STEPS == 0:
                    yield index / shape[0]
            self._masks.append(mask)
            if self._output.probability_maps:
                self._maps.append(np.clip(resample(native, shape), 0, 1))

    def _frame(self, index: int, whole: Floats) -> None:
        volume = self._series.volume
        rows, columns = volume.frames[index].shape
        if not self._masks:
            shape = (len(volume.frames), rows, columns)
            self._masks = [np.zeros(shape, np.bool_) for _ in self._output.segments]
            if self._output.probability_maps:
                self._maps = [np.zeros(shape, np.float32) for _ in self._output.segments]
        if (rows, columns) != self._masks[0].shape[1:]:
            raise InvalidInput(
                f"{volume.frames[index].name} has {rows} × {columns} pixels and the first one "
                f"{' × '.join(str(size) for size in self._masks[0].shape[1:])}: send images of one size"
            )
        for place, threshold in enumerate(self._cut()):
            native = resample(self._series.plane_to_native(whole[..., place]), (rows, columns))
            self._masks[place][index] = native >= threshold
            if self._maps:
                self._maps[place][index] = np.clip(native, 0, 1)

    def _found(
        self,
        segment: Segment,
        place: int,
        mask: Mask,
        shown: NDArray[np.int64],
        numbers: dict[str, float],
        number: int,
    ) -> Found:
        if any(item.kind == "mean" for item in segment.measurements):
            numbers["mean"] = self._mean(mask)
        certainty = self._certain[place]
        probability = {"none": None, "mean": certainty.mean, "maximum": certainty.highest}[segment.probability]
        if probability is not None:
            probability = min(1.0, max(0.0, probability))
            numbers["probability"] = probability
        volume = self._series.volume
        side = left_share(volume, mask) if segment.laterality == "by-place" else None
        return Found(
            **named(segment),
            number=segment.number,
            category=category(segment, numbers),
            measurements=tuple(_measurement(item, numbers) for item in segment.measurements),
            probability=None if probability is None else round(probability, 6),
            laterality=laterality(segment, side),
            segment_number=number,
            locations=self._locations(segment, mask),
            evidence=evidence(volume, shown, segment.evidence),
        )

    def _locations(self, segment: Segment, mask: Mask) -> tuple[Location, ...]:
        if segment.locations == "centre":
            return centre_location(self._series.volume, mask)
        return box_locations(self._series.volume, mask) if segment.locations == "boxes" else ()

    def _mean(self, mask: Mask) -> float:
        """Mean of the modality units inside of a mask; only slices that hold a part are decoded again."""
        total, voxels = 0.0, 0
        for index in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
            values = modality_values(self._series.volume.frames[index])[mask[index]]
            total += float(values.sum(dtype=np.float64))
            voxels += values.size
        return total / voxels


class _Certainty:
    """Mean and largest probability of the voxels in a segment, at the model's resolution."""

    def __init__(self) -> None:
        self.highest = 0.0
        self._sum = 0.0
        self._count = 0

    def add(self, probability: Floats, threshold: float) -> None:
        inside = probability[probability >= threshold]
        if inside.size:
            self.highest = max(self.highest, float(inside.max()))
            self._sum += float(inside.sum(dtype=np.float64))
            self._count += inside.size

    @property
    def mean(self) -> float:
        return self._sum / self._count if self._count else 0.0


def _components_matter(segment: Segment) -> bool:
    """Whether a mask must be taken apart, which is the longest part of a large one."""
    return (
        segment.keep != "all"
        or segment.minimum_volume_ml > 0
        or any(item.kind == "count" for item in segment.measurements)
        or any(rule.of == "count" for rule in segment.rules)
    )


def _measurement(policy: MeasurementPolicy, numbers: dict[str, float]) -> Measurement:
    value = numbers[policy.kind]
    if policy.kind == "volume":
        value *= _IN_ONE_ML[policy.unit.value]
    return Measurement(policy.code.code(), round(value, policy.decimals), policy.unit.code())
