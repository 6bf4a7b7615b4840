"""Images of one series + model → mask and volume, with the warnings that belong to it.

A pure run: no clock but the one given, no network, no state. Guarantee: the same images give the same outcome in
whatever order they come, and the mask lies on exactly the voxels of the source images.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from scipy import ndimage

from engines.base import Volume32
from engines.domain import input_warnings, output_warnings
from engines.repository import Model
from engines.resample import Orientation, orientation_of, resample, slices_at_least
from engines.volume import Volume, read_volume
from schemas.errors import InvalidInput, TransientFailure
from schemas.events import Measurement, ResultOutcome, StageTime, TaskState

#: Called before each stage with its state; may raise to give the run up.
OnStage = Callable[[TaskState], None]


@dataclass(frozen=True)
class Outcome:
    """What a model said about a series.

    Attributes
    ----------
    mask
        bool, shape (slices, rows, columns), on the source images.
    sop_instance_uids
        Source images in the order of the mask's first axis.
    measurements
        Of the mask; empty when nothing was found.
    warnings
        What a reader should know, one sentence each.
    stages
        How long each stage took.
    """

    mask: NDArray[np.bool_]
    sop_instance_uids: tuple[str, ...]
    measurements: tuple[Measurement, ...]
    warnings: tuple[str, ...]
    stages: tuple[StageTime, ...]

    @property
    def outcome(self) -> ResultOutcome:
        """Whether anything was found."""
        return ResultOutcome.FINDINGS if self.measurements else ResultOutcome.NO_FINDINGS


def segment(
    images: Sequence[Dataset],
    model: Model,
    on_stage: OnStage = lambda _: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Outcome:
    """Run a segmentation model on one series.

    Parameters
    ----------
    images
        Images of one series in any order.
    model
        Loaded model.
    on_stage
        Called before each stage; what it raises ends the run.
    clock
        Seconds, for the stage times.

    Raises
    ------
    InvalidInput
        The images are no volume that this model can read.
    TransientFailure
        The runtime failed.
    """
    stages = _Stages(on_stage, clock)
    stages.enter(TaskState.PREPROCESSING)
    volume = read_volume(images, model.metadata.input.minimum_slices)
    orientation = orientation_of(volume.affine)
    tensor = preprocess(volume, orientation, model)
    warnings = volume.warnings + input_warnings(model.metadata.domain, images[0], volume, orientation.tilt_degrees)

    stages.enter(TaskState.INFERRING)
    output = model.config.outputs[0]
    probability = model.engine.infer({model.config.inputs[0].name: tensor})[output.name]

    stages.enter(TaskState.POSTPROCESSING)
    mask = postprocess(probability.reshape(model.grid), volume, orientation, model)
    volume_ml = float(np.count_nonzero(mask)) * volume.voxel_ml
    measured = model.metadata.output
    measurements = (Measurement(measured.measurement.code(), round(volume_ml, 1), measured.unit.code()),)
    return Outcome(
        mask=mask,
        sop_instance_uids=volume.sop_instance_uids,
        measurements=measurements if volume_ml > 0 else (),
        warnings=warnings + output_warnings(model.metadata.domain, mask, volume_ml),
        stages=stages.finish(),
    )


def preprocess(volume: Volume, orientation: Orientation, model: Model) -> NDArray[np.float32]:
    """The model's input array: axes x, y, z towards right, anterior, superior; largest value 1.

    Raises
    ------
    InvalidInput
        No voxel is positive.
    """
    peak = float(volume.voxels.max())
    if peak <= 0:
        raise InvalidInput("no voxel of the series is positive: there is no image to read")
    grid = resample(orientation.to_ras(volume.voxels), model.grid)
    grid /= np.float32(peak)
    return grid.reshape(model.config.inputs[0].dims)


def postprocess(
    probability: Volume32, volume: Volume, orientation: Orientation, model: Model
) -> NDArray[np.bool_]:
    """Mask on the source images: interpolated back, thresholded, largest connected component kept.

    Raises
    ------
    TransientFailure
        The model answered with values that are no numbers.
    """
    if not np.isfinite(probability).all():
        raise TransientFailure("the model's output holds values that are no finite numbers: it is tried again")
    native = np.ascontiguousarray(orientation.to_native(probability))
    shape = volume.voxels.shape
    planes = slices_at_least(native, (shape[0], shape[1], shape[2]), model.metadata.output.threshold)
    mask = np.empty(shape, np.bool_)
    for index, plane in enumerate(planes):
        mask[index] = plane
    return largest_component(mask)


def largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest set of voxels that touch by faces; of two equal ones the first."""
    box = ndimage.find_objects(mask.astype(np.uint8))
    if not box:
        return mask
    labels, count = ndimage.label(mask[box[0]])
    if count > 1:
        sizes = np.bincount(labels.ravel())
        kept = np.zeros_like(mask)
        kept[box[0]] = labels == 1 + int(np.argmax(sizes[1:]))
        return kept
    return mask


class _Stages:
    def __init__(self, on_stage: OnStage, clock: Callable[[], float]) -> None:
        self._on_stage = on_stage
        self._clock = clock
        self._times: list[StageTime] = []
        self._current: tuple[TaskState, float] | None = None

    def enter(self, state: TaskState) -> None:
        self._close()
        self._on_stage(state)
        self._current = (state, self._clock())

    def finish(self) -> tuple[StageTime, ...]:
        self._close()
        return tuple(self._times)

    def _close(self) -> None:
        if self._current is not None:
            state, started = self._current
            self._times.append(StageTime(state.value, round((self._clock() - started) * 1000, 3)))
            self._current = None
