"""One task → its answer: choose the model, fetch the series, run the model, keep its arrays, say what was found.

A generator that says before each step who has to do it (:mod:`streams.worker.child.steps`), so it neither waits
nor computes where it should not. Guarantee: whatever is wrong with the task, its images or the model is an answer;
only a gateway that is away is an error, because the task can wait for it.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol, TypeVar

from engines import pipeline
from engines.base import Tensors
from engines.model import Model
from engines.outcome import Outcome
from engines.selection import choose_series
from engines.steps import Advanced, Infer, Run
from schemas.errors import InvalidMessage, PermanentRejection, ScanstreamError, TransientFailure
from schemas.events import Artifact, InferenceTask, ModelIdentity, ModelState, Priority, StageTime, TaskState
from schemas.logs import fields
from streams.clock import Clock
from streams.worker import answers
from streams.worker.answers import Answer
from streams.worker.child.images import Images, bytes_of, packed
from streams.worker.child.steps import Compute, Request, Steps, Told, Transfer, Wait
from streams.worker.protocol import Aside, Begin

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_Way = Generator[Advanced | Request | Transfer | Compute, Tensors | None, _T]


class Chosen(Protocol):
    """As :class:`engines.serving.Choice`."""

    @property
    def model(self) -> Model:
        """The version that answers."""
        ...


class Models(Protocol):
    """As :class:`engines.serving.Serving`."""

    def choose(self, task_id: str, model_name: str, pinned_version: str | None = None) -> Chosen:
        """The version that answers a task."""
        ...

    def load(self, model_name: str, pinned_version: str | None) -> Future[None] | None:
        """Begin to load what a task names, if it is not loaded; done when it may be taken."""
        ...

    def take(
        self, task_id: str, model_name: str, pinned_version: str | None = None
    ) -> AbstractContextManager[Chosen]:
        """The version that answers a task, kept open until the task ends."""
        ...

    def using(self, model: Model) -> AbstractContextManager[bool]:
        """Keep a shadow open; false where it was closed already."""
        ...

    def shadows(self, model_name: str) -> tuple[Model, ...]:
        """Versions that run unseen beside it."""
        ...

    def states(self) -> tuple[ModelState, ...]:
        """Every version and what it may do here."""
        ...

    def reload(self) -> bool:
        """Take up what changed in the repository; whether anything did."""
        ...


class Tasks:
    """Makes the generators of tasks.

    Parameters
    ----------
    models
        What can be run here.
    images
        Source of images, and where artifacts are kept.
    node
        Name of this node.
    clock
        Time.
    """

    def __init__(self, models: Models, images: Images, node: str, clock: Clock) -> None:
        self._models = models
        self._images = images
        self._node = node
        self._clock = clock

    def unexpected(self, task: InferenceTask, error: Exception) -> Answer:
        """Answer for an error that nobody expected: tried again like any failure that may pass."""
        failure = TransientFailure(f"unexpected {type(error).__name__} in the worker: see its log")
        return answers.failed_for_now(task, self._identity(task), failure, self._node, self._now())

    def steps(self, begin: Begin) -> Steps:
        """Answer a task.

        Raises
        ------
        DestinationUnavailable
            The gateway that holds the images is away: run the task again when it is back.
        """
        task = begin.task
        loading = self._models.load(task.model_name, task.model_version)
        if loading is not None:
            yield Wait(loading)
        try:
            with self._models.take(task.task_id, task.model_name, task.model_version) as chosen:
                return (yield from self._answered(begin, chosen.model))
        except InvalidMessage as error:
            return answers.could_not_run(task, None, error, self._node, self._now())
        except TransientFailure as error:
            return answers.failed_for_now(task, None, error, self._node, self._now())

    def _answered(self, begin: Begin, model: Model) -> Steps:
        """The answer of a model, whatever is wrong with the images or with it."""
        task, identity, limitations = begin.task, model.identity(), model.metadata.limitations
        try:
            return (yield from self._run(begin, model))
        except (InvalidMessage, PermanentRejection) as error:
            return answers.could_not_run(task, identity, error, self._node, self._now(), limitations)
        except TransientFailure as error:
            return answers.failed_for_now(task, identity, error, self._node, self._now(), limitations)

    def _run(self, begin: Begin, model: Model) -> Steps:
        task = begin.task
        yield Advanced(TaskState.PREPROCESSING)
        series = choose_series(model.metadata.input, task.series)
        started = self._clock().monotonic
        images = self._images.fetch_series(task.retrieve_url, series.series_instance_uid, series.sop_instance_uids)
        fetch = self._since("fetch", started)
        yield Compute(bytes_of(images))
        outcome = yield from self._driven(pipeline.run(images, model, task.parameters, self._monotonic), model)
        started = self._clock().monotonic
        artifacts = yield from self._kept(task, outcome)
        stages = (fetch, *outcome.stages, self._since("store", started))
        answer = answers.completed(task, series, model, outcome, artifacts, stages, self._node, self._now())
        # with emergencies come others that wait, and what may have ended a process is not risked twice
        if task.priority is not Priority.P1_EMERGENCY and not begin.alone:
            shadows = self._models.shadows(task.model_name)
            if shadows:
                yield Told(answer)
            for shadow in shadows:
                yield Compute()
                with self._models.using(shadow) as is_open:
                    if not is_open:
                        continue  # replaced meanwhile: nobody watches it any more
                    said = yield from self._shadowed(task, shadow, pipeline.run(images, shadow, task.parameters))
                yield Aside(*answers.of_shadow(task, series, shadow, said, self._node, self._now()))
        return answer

    def _shadowed(self, task: InferenceTask, shadow: Model, run: Run) -> _Way[Outcome | ScanstreamError]:
        """What a version that runs unseen says; nothing that happens to it touches the task."""
        reply: Tensors | None = None
        try:
            while True:
                step = run.send(reply)
                # where it stands is nobody's business: the task itself is done
                reply = (yield Request(shadow, step.tensors)) if isinstance(step, Infer) else None
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        except ScanstreamError as error:
            return error
        except Exception as error:
            log.exception("unexpected error in a shadow", extra=fields(task_id=task.task_id))
            return TransientFailure(f"unexpected {type(error).__name__} in the worker: see its log")

    def _driven(self, run: Run, model: Model) -> _Way[Outcome]:
        reply: Tensors | None = None
        while True:
            try:
                step = run.send(reply)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            reply = yield (Request(model, step.tensors) if isinstance(step, Infer) else step)

    def _kept(self, task: InferenceTask, outcome: Outcome) -> _Way[tuple[Artifact, ...]]:
        kept = []
        for item in outcome.arrays:
            media_type, data = packed(item)
            yield Transfer()
            made = self._images.put_artifact(task.retrieve_url, item.kind, media_type, data, item.array.shape)
            kept.append(dataclasses.replace(made, quantity=item.quantity, unit=item.unit))
            if len(kept) < len(outcome.arrays):
                yield Compute()
        return tuple(kept)

    def _identity(self, task: InferenceTask) -> ModelIdentity | None:
        try:
            return self._models.choose(task.task_id, task.model_name, task.model_version).model.identity()
        except ScanstreamError:
            return None

    def _since(self, name: str, started: float) -> StageTime:
        return StageTime(name, round((self._clock().monotonic - started) * 1000, 3))

    def _monotonic(self) -> float:
        return self._clock().monotonic

    def _now(self) -> datetime:
        return self._clock().utc
