"""Images of one series + model → mask and volume, with the warnings that belong to it.

A pure run: no clock but the one given, no network, no state. Guarantee: the same images give the same outcome in
whatever order they come, and the mask lies on exactly the voxels of the source images.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from scipy import ndimage

from engines.base import Volume32
from engines.domain import input_warnings, output_warnings
from engines.model import Model
from engines.outcome import ArrayOutput, Found, Outcome
from engines.output_policy import SegmentationOutput
from engines.resample import Orientation, orientation_of, resample, slices_at_least
from engines.steps import Advanced, Infer, Run
from engines.volume import Volume, read_volume
from schemas.errors import InvalidInput, TransientFailure
from schemas.events import Measurement, StageTime, TaskParameters, TaskState


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
        What the requester set; ``confidence_threshold`` replaces the declared one.
    clock
        Seconds, for the stage times. What a stage waits for others counts too.

    Raises
    ------
    InvalidInput
        The images are no volume that this model can read.
    TransientFailure
        The runtime failed.
    """
    stages = _Stages(clock)
    yield stages.enter(TaskState.PREPROCESSING)
    volume = read_volume(images, model.metadata.input.minimum_slices)
    orientation = orientation_of(volume.affine)
    tensor = preprocess(volume, orientation, model)
    domain = model.metadata.domain
    unusual = input_warnings(domain, images[0], volume, orientation.tilt_degrees)

    yield stages.enter(TaskState.INFERRING)
    answer = yield Infer({model.config.inputs[0].name: tensor})
    probability = (answer or {})[model.config.outputs[0].name]

    yield stages.enter(TaskState.POSTPROCESSING)
    declared = model.metadata.output
    if not isinstance(declared, SegmentationOutput):
        raise InvalidInput(f"no {model.metadata.task} can be run yet: use a segmentation")
    measured, threshold = declared.segments[0], declared.threshold
    if parameters is not None and parameters.confidence_threshold is not None:
        threshold = parameters.confidence_threshold
    mask = postprocess(probability.reshape(model.grid), volume, orientation, threshold)
    volume_ml = float(np.count_nonzero(mask)) * volume.voxel_ml
    unusual += output_warnings(domain, mask, volume_ml)
    number = measured.number
    found = Found(
        finding_type=measured.finding_type,
        number=number,
        code=measured.finding.code(),
        category=measured.category,
        measurements=(
            Measurement(
                measured.measurements[0].code.code(), round(volume_ml, 1), measured.measurements[0].unit.code()
            ),
        ),
        site=None if measured.site is None else measured.site.code(),
        segment_number=number,
        warnings=volume.warnings + unusual,
    )
    return Outcome(
        found=(found,) if volume_ml > 0 else (),
        arrays=(ArrayOutput("mask", mask, number),) if volume_ml > 0 else (),
        sop_instance_uids=volume.sop_instance_uids,
        image_quality_warnings=volume.warnings,
        out_of_domain_warnings=unusual,
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
    probability: Volume32, volume: Volume, orientation: Orientation, threshold: float
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
    planes = slices_at_least(native, (shape[0], shape[1], shape[2]), threshold)
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
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._times: list[StageTime] = []
        self._current: tuple[TaskState, float] | None = None

    def enter(self, state: TaskState) -> Advanced:
        self._close()
        self._current = (state, self._clock())
        return Advanced(state)

    def finish(self) -> tuple[StageTime, ...]:
        self._close()
        return tuple(self._times)

    def _close(self) -> None:
        if self._current is not None:
            state, started = self._current
            self._times.append(StageTime(state.value, round((self._clock() - started) * 1000, 3)))
            self._current = None
