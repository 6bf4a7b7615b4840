"""One task → its answer: fetch the series, run the model, keep the mask, say what was found.

Called in the computing thread. Each step is announced, so whoever listens can publish it, let an emergency in
between, or give the task up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from numpy.typing import NDArray
from pydicom import Dataset

from engines import pipeline
from engines.model import Model
from engines.outcome import ArrayOutput, Outcome
from engines.selection import choose_series
from engines.steps import Advanced, Run
from producers.artifacts import (
    HEATMAP_MEDIA_TYPE,
    MASK_MEDIA_TYPE,
    PROBABILITY_MEDIA_TYPE,
    pack_heatmap,
    pack_mask,
    pack_probability,
)
from producers.telemetry import Telemetry
from schemas.errors import InvalidMessage, PermanentRejection, TransientFailure
from schemas.events import Artifact, InferenceTask, StageTime, TaskState
from streams.clock import Clock
from streams.worker import answers
from streams.worker.answers import Answer

_PACKING: Final[dict[str, tuple[str, Callable[[NDArray[Any]], bytes]]]] = {
    "mask": (MASK_MEDIA_TYPE, pack_mask),
    "probability": (PROBABILITY_MEDIA_TYPE, pack_probability),
    "heatmap": (HEATMAP_MEDIA_TYPE, pack_heatmap),
}


class Images(Protocol):
    """Where images come from and masks go to."""

    def fetch_series(
        self, retrieve_url: str, series_instance_uid: str, sop_instance_uids: Sequence[str]
    ) -> list[Dataset]:
        """Images of a series."""
        ...

    def put_artifact(
        self, retrieve_url: str, kind: str, media_type: str, data: bytes, shape: tuple[int, ...]
    ) -> Artifact:
        """Keep bytes beside the images."""
        ...


class TaskRunner:
    """Runs tasks on this node.

    Parameters
    ----------
    models
        Loaded models by name.
    images
        Source of images.
    node
        Name of this node.
    telemetry
        Gets the time of each stage.
    clock
        Time.
    """

    def __init__(
        self, models: Mapping[str, Model], images: Images, node: str, telemetry: Telemetry, clock: Clock
    ) -> None:
        self._models = models
        self._images = images
        self._node = node
        self._telemetry = telemetry
        self._clock = clock

    def run(self, task: InferenceTask, on_step: Callable[[TaskState], None]) -> Answer:
        """Answer a task.

        Parameters
        ----------
        task
            What to do.
        on_step
            Called before each step with the state of the task; what it raises ends the run.

        Raises
        ------
        DestinationUnavailable
            The gateway that holds the images is away: run the task again when it is back.
        """
        model = self._models.get(task.model_name)
        if model is None:
            unknown = InvalidMessage(
                f"no model is called {task.model_name!r}: this worker has {', '.join(sorted(self._models))}"
            )
            return answers.dead_letter(task, unknown, self._node, self._now())
        try:
            return self._run(task, model, on_step)
        except (InvalidMessage, PermanentRejection) as error:
            return answers.could_not_run(task, model.identity(), error, self._node, self._now())
        except TransientFailure as error:
            return answers.failed_for_now(task, model.identity(), error, self._node, self._now())

    def unexpected(self, task: InferenceTask, error: Exception) -> Answer:
        """Answer for an error that nobody expected: tried again like any failure that may pass."""
        failure = TransientFailure(f"unexpected {type(error).__name__} in the worker: see its log")
        model = self._models[task.model_name]
        return answers.failed_for_now(task, model.identity(), failure, self._node, self._now())

    def _run(self, task: InferenceTask, model: Model, on_step: Callable[[TaskState], None]) -> Answer:
        on_step(TaskState.PREPROCESSING)
        series = choose_series(model.metadata.input, task.series)
        started = self._clock().monotonic
        images = self._images.fetch_series(task.retrieve_url, series.series_instance_uid, series.sop_instance_uids)
        fetch = self._since("fetch", started)
        way = pipeline.run(images, model, task.parameters, lambda: self._clock().monotonic)
        outcome = _driven(way, model, on_step)
        started = self._clock().monotonic
        artifacts = self._keep(task, outcome)
        stages = (fetch, *outcome.stages, self._since("store", started))
        for stage in stages:
            self._telemetry.observe(
                "scanstream_inference_seconds", stage.duration_ms / 1000, model=task.model_name, stage=stage.name
            )
        return answers.completed(task, series, model, outcome, artifacts, stages, self._node, self._now())

    def _keep(self, task: InferenceTask, outcome: Outcome) -> tuple[Artifact, ...]:
        return tuple(self._kept(task, item) for item in outcome.arrays)

    def _kept(self, task: InferenceTask, item: ArrayOutput) -> Artifact:
        media_type, pack = _PACKING[item.kind]
        made = self._images.put_artifact(
            task.retrieve_url, item.kind, media_type, pack(item.array), item.array.shape
        )
        return dataclasses.replace(made, quantity=item.quantity, unit=item.unit)

    def _since(self, name: str, started: float) -> StageTime:
        return StageTime(name, round((self._clock().monotonic - started) * 1000, 3))

    def _now(self) -> datetime:
        return self._clock().utc


def _driven(way: Run, model: Model, on_step: Callable[[TaskState], None]) -> Outcome:
    """Run to the end; whoever listens may do something else, or give the run up, before each computation."""
    state, answer = TaskState.PREPROCESSING, None
    while True:
        try:
            step = way.send(answer)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        state = step.state if isinstance(step, Advanced) else state
        on_step(state)
        answer = None if isinstance(step, Advanced) else model.engine.infer(step.tensors)
