"""Images of one series + model → findings and arrays, in steps that its driver may interleave with others.

What happens to the images and what the outputs mean is declared in ``metadata.json``; the three tasks differ only
in who reads the outputs. A pure run: no clock but the one given, no network, no state. Guarantee: the same images
give the same outcome in whatever order they come, and every array lies on exactly the voxels of the source images.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Final

from pydicom import Dataset

from engines.base import Tensors
from engines.classification import ClassificationReader
from engines.detection import DetectionReader
from engines.domain import input_warnings
from engines.explain import Explainer
from engines.graph import Graph, graph_of, output_names
from engines.metadata import ModelMetadata
from engines.model import Model
from engines.outcome import ArrayOutput, Outcome
from engines.output_policy import ClassificationOutput, HeatmapPolicy, SegmentationOutput
from engines.preprocess import Sample, Series, frame_sample, read_series, volume_sample
from engines.reading import Reader
from engines.segmentation import SegmentationReader
from engines.stages import Stages
from engines.steps import Advanced, Infer, Run
from schemas.errors import InvalidInput
from schemas.events import TaskParameters, TaskState

#: Steps of a stage are told from this share on.
_TOLD: Final = 0.05

#: Patches along each axis where the metadata does not say it: 36 rows for an image, 64 for a volume.
_PATCHES: Final = {"2d": 6, "3d": 4}

_Steps = Generator[Advanced | Infer, Tensors | None, None]


def run(
    images: Sequence[Dataset],
    model: Model,
    parameters: TaskParameters | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Run:
    """Way of one series through a model; see :mod:`engines.steps`.

    Parameters
    ----------
    images
        Images of one series in any order.
    model
        Loaded model.
    parameters
        What the requester set: ``confidence_threshold`` replaces every declared one, ``include_heatmaps`` asks for
        a heatmap.
    clock
        Seconds, for the stage times. What a stage waits for others counts too. A 2-D model decodes its images
        while it infers.

    Raises
    ------
    InvalidInput
        The images cannot be read by this model, or its answer is not what its metadata declares.
    """
    wanted = parameters or TaskParameters()
    threshold = wanted.confidence_threshold
    if threshold is not None and not 0 < threshold <= 1:
        raise InvalidInput(f"confidence_threshold is {threshold:g}: it must be above 0 and at most 1")
    metadata, policy = model.metadata, model.metadata.input
    stages = Stages(clock)
    yield stages.enter(TaskState.PREPROCESSING)
    graph, names = graph_of(metadata, model.config), output_names(metadata, model.config)
    series = read_series(images, policy, needs_place=_needs_place(metadata))
    unusual = input_warnings(
        metadata.domain, series.volume.frames[0].image, series.volume, series.orientation.tilt_degrees
    )
    volume = None
    if policy.dimensions == "3d":
        volume = yield from _prepared(series, graph)
    reader = _reader(metadata, graph, series, names[0], threshold)
    heatmap = metadata.heatmap or HeatmapPolicy(patches=_PATCHES[policy.dimensions])
    explainer = None
    if heatmap.always or wanted.include_heatmaps:
        explainer = Explainer(heatmap, graph, series, names, reader)

    yield stages.enter(TaskState.INFERRING)
    samples = len(series.volume.frames) if volume is None else 1
    yield from _inferred(_rows(series, graph, volume), samples, graph, names, reader, explainer)
    heat = None
    if explainer is not None:
        heat = yield from _explained(explainer)

    yield stages.enter(TaskState.POSTPROCESSING)
    finishing = reader.finish()
    while True:
        try:
            share = next(finishing)
        except StopIteration as end:
            reading = end.value
            break
        yield Advanced(TaskState.POSTPROCESSING, share)
    quality = series.volume.warnings
    if volume is not None and volume.placement.cropped:
        quality += ("Only the middle of the images was read: they are larger than the model takes.",)
    unusual += reading.unusual
    left_out = explainer is not None and heat is None
    return Outcome(
        found=tuple(dataclasses.replace(found, warnings=quality + unusual) for found in reading.found),
        arrays=reading.arrays if heat is None else (*reading.arrays, heat),
        sop_instance_uids=series.volume.sop_instance_uids,
        warnings=("The heatmap was left out: the images differ in size or are too many.",) if left_out else (),
        image_quality_warnings=quality,
        out_of_domain_warnings=unusual,
        stages=stages.finish(),
    )


def _needs_place(metadata: ModelMetadata) -> bool:
    """Whether something is measured in the patient."""
    if not isinstance(metadata.output, SegmentationOutput):
        return False
    return any(
        segment.minimum_volume_ml > 0
        or segment.laterality == "by-place"
        or any(item.kind == "volume" for item in segment.measurements)
        for segment in metadata.output.segments
    )


def _reader(metadata: ModelMetadata, graph: Graph, series: Series, name: str, threshold: float | None) -> Reader:
    output = metadata.output
    if isinstance(output, SegmentationOutput):
        return SegmentationReader(output, metadata.domain, graph, series, name, threshold)
    if isinstance(output, ClassificationOutput):
        return ClassificationReader(output, series, name, threshold)
    return DetectionReader(output, graph, series, threshold)


def _prepared(series: Series, graph: Graph) -> Generator[Advanced | Infer, Tensors | None, Sample]:
    preparing = volume_sample(series, graph.window)
    while True:
        try:
            share = next(preparing)
        except StopIteration as end:
            sample: Sample = end.value
            return sample
        yield Advanced(TaskState.PREPROCESSING, share)


def _rows(series: Series, graph: Graph, volume: Sample | None) -> Iterator[tuple[Sample, tuple[int, ...]]]:
    """Windows of the volume, or of one frame after the other."""
    frames = range(len(series.volume.frames))
    samples = (frame_sample(series, index, graph.window) for index in frames) if volume is None else [volume]
    for sample in samples:
        for start in sample.placement.starts:
            yield sample, start


def _inferred(
    rows: Iterator[tuple[Sample, tuple[int, ...]]],
    samples: int,
    graph: Graph,
    names: tuple[str, ...],
    reader: Reader,
    explainer: Explainer | None,
) -> _Steps:
    """Run the rows in batches; the reader and the explainer are given each row's outputs."""
    told, share = 0.0, 0.0
    for batch in _batches(rows, graph.batch):
        tensor = graph.tensor([sample.row(start) for sample, start in batch])
        answer = yield Infer({graph.input.name: tensor})
        for (sample, start), outputs in zip(batch, graph.rows(answer, names, len(batch)), strict=True):
            reader.take(sample, start, outputs)
            if explainer is not None:
                explainer.take(sample, start, outputs)
            starts = sample.placement.starts
            share = (sample.frame + (starts.index(start) + 1) / len(starts)) / samples
        if share - told >= _TOLD and share < 1:
            told = share
            yield Advanced(TaskState.INFERRING, share)


def _batches(
    rows: Iterator[tuple[Sample, tuple[int, ...]]], most: int
) -> Iterator[list[tuple[Sample, tuple[int, ...]]]]:
    """Rows of one size together, at most so many."""
    batch: list[tuple[Sample, tuple[int, ...]]] = []
    for row in rows:
        if batch and (len(batch) == most or batch[0][0].placement.window != row[0].placement.window):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _explained(explainer: Explainer) -> Generator[Advanced | Infer, Tensors | None, ArrayOutput | None]:
    explaining, answer, done, told = explainer.run(), None, 0, 0.0
    while True:
        try:
            step = explaining.send(answer)
        except StopIteration as end:
            heat: ArrayOutput | None = end.value
            return heat
        answer = None
        if step is not None:
            answer = yield step
            done += 1
            share = done / max(1, explainer.steps())
            if share - told >= _TOLD and share < 1:
                told = share
                yield Advanced(TaskState.INFERRING, share)
