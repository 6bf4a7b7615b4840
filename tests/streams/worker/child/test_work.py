"""A task against images in memory: what is fetched, kept and said. The real gateway is in test_child."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from engines import pipeline
from engines.model import Model
from engines.steps import Advanced, drive
from producers.artifacts import unpack_mask
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, InvalidMessage, OutOfMemory, ScanstreamError, TransientFailure
from schemas.events import Artifact, InferenceResult, ResultOutcome, TaskState, TaskStatus
from schemas.topics import Priority, Topic
from streams.clock import system_clock
from streams.worker import answers
from streams.worker.answers import Answer
from streams.worker.child.steps import Compute, Request, Told, Transfer
from streams.worker.child.work import Tasks
from streams.worker.protocol import Aside, Begin
from tests.engines.phantom import model_of, series
from tests.streams.worker.tasks import MODEL, task_for

IMAGES = series(np.full((5, 8, 8), 9), name="work")


class Shelf:
    """Images and artifacts in memory."""

    def __init__(self, images: Sequence[Dataset], error: ScanstreamError | None = None) -> None:
        self.images = {str(image.SOPInstanceUID): image for image in images}
        self.kept: list[tuple[bytes, tuple[int, ...]]] = []
        self.error = error

    def fetch_series(self, retrieve_url: str, series_instance_uid: str, sop_instance_uids: Sequence[str]) -> list:
        if self.error is not None:
            raise self.error
        return [self.images[uid] for uid in sop_instance_uids]

    def put_artifact(
        self, retrieve_url: str, kind: str, media_type: str, data: bytes, shape: tuple[int, ...]
    ) -> Artifact:
        self.kept.append((data, shape))
        return Artifact(kind, media_type, "http://gw/artifacts/aa", "aa", len(data), shape)


class Held:
    """Models as a test wants them."""

    def __init__(self, *shadows: Model, error: ScanstreamError | None = None) -> None:
        self.model = model_of((16, 16, 16))[0]
        self._shadows = shadows
        self._error = error

    def load(self, model_name: str, pinned_version: str | None) -> None:
        return None

    def using(self, model: Model) -> AbstractContextManager[bool]:
        return nullcontext(enter_result=True)

    @contextmanager
    def take(self, task_id: str, model_name: str, pinned_version: str | None = None) -> Iterator[Any]:
        yield self.choose(task_id, model_name, pinned_version)

    def choose(self, task_id: str, model_name: str, pinned_version: str | None = None) -> Any:
        if self._error is not None:
            raise self._error
        if (model_name, pinned_version) not in ((MODEL, None), (MODEL, "0.1")):
            raise InvalidMessage(f"no model is called {model_name!r}, or none has version {pinned_version}")
        return SimpleNamespace(model=self.model)

    def shadows(self, model_name: str) -> tuple[Model, ...]:
        return self._shadows

    def states(self) -> tuple[()]:
        return ()

    def reload(self) -> bool:
        return False


def run(
    shelf: Shelf,
    models: Held | None = None,
    images: Sequence[Dataset] = IMAGES,
    priority: Priority = Priority.P3_NORMAL,
    *,
    alone: bool = False,
    failure: Exception | None = None,
    **changes: Any,
) -> tuple[Answer, list[Any]]:
    """The answer and the steps that led to it; ``failure`` is what the engine says."""
    tasks = Tasks(models or Held(), shelf, "node-1", system_clock)
    begin = Begin(task_for(images, "http://gw/dicom-web", priority, **changes), 1.0, alone)
    steps, reply, seen = tasks.steps(begin), None, []
    while True:
        try:
            step = steps.send(reply)
            seen.append(step)
            reply = None
            if isinstance(step, Request):
                if failure is not None:
                    step = steps.throw(failure)
                reply = step.model.engine.infer(step.tensors)  # type: ignore[union-attr] # what it asked for
        except StopIteration as end:
            return end.value, seen


def result_of(answer: Answer) -> InferenceResult:
    result = answer.events[0][2]
    assert isinstance(result, InferenceResult)
    return result


def test_from_task_to_answer_and_who_does_which_step() -> None:
    shelf = Shelf(IMAGES)
    answer, steps = run(shelf, patient_key="k")
    result = result_of(answer)
    assert result.sop_instance_uids == tuple(image.SOPInstanceUID for image in IMAGES)
    assert result.patient_key == "k"
    ((data, shape),) = shelf.kept
    assert unpack_mask(data, shape).all()
    assert shape == (5, 8, 8)
    kinds = [step.state if isinstance(step, Advanced) else type(step) for step in steps]
    assert list(dict.fromkeys(kinds)) == [
        TaskState.PREPROCESSING,
        Compute,
        TaskState.INFERRING,
        Request,
        TaskState.POSTPROCESSING,
        Transfer,
    ]
    assert [stage.name for stage in result.stages] == [
        "fetch",
        "preprocessing",
        "inferring",
        "postprocessing",
        "store",
    ]
    assert answer.stages == result.stages
    assert {event.model_version for _, _, event in answer.events if isinstance(event, TaskStatus)} == {"0.1"}


def test_each_error_has_its_answer() -> None:
    assert run(Shelf(IMAGES), images=IMAGES[:1])[0].outcome == "could_not_run"
    assert run(Shelf(IMAGES, TransientFailure("later")))[0].outcome == "retry"
    assert run(Shelf(IMAGES, InvalidMessage("no URL")))[0].outcome == "could_not_run"
    with pytest.raises(DestinationUnavailable):
        run(Shelf(IMAGES, DestinationUnavailable("away")))


@pytest.mark.parametrize(
    ("asked", "name", "version"),
    [({"model_name": "other|one"}, "other|one", "unknown"), ({"model_version": "9"}, MODEL, "9")],
    ids=["model", "version"],
)
def test_a_model_or_version_that_nobody_knows_is_a_result_that_says_so(
    asked: dict[str, str], name: str, version: str
) -> None:
    answer, steps = run(Shelf(IMAGES), callback_url="http://site/callback", **asked)  # type: ignore[arg-type] # changes of the task
    assert (answer.dead_letter, answer.retry, steps) == (False, None, [])
    result, status = result_of(answer), answer.events[1][2]
    assert result.outcome is ResultOutcome.COULD_NOT_RUN
    assert (result.model.name, result.model.version, result.model.sha256) == (name, version, "0" * 64)
    assert "no model is called" in (result.reason or "")
    assert result.callback_url, "whoever asked is told"
    assert isinstance(status, TaskStatus)
    assert (status.state, status.reason) == (TaskState.FAILED, result.reason)
    assert status.model_version == asked.get("model_version")
    assert Codec().decode(Codec().encode(result)) == result


def test_a_model_that_cannot_serve_here_is_tried_on_another_node_and_then_said() -> None:
    models = Held(error=TransientFailure("no version can serve on this node"))
    answer, _ = run(Shelf(IMAGES), models)
    assert answer.retry is not None
    assert answer.retry.excluded_nodes == ("node-1",)
    last, _ = run(Shelf(IMAGES), models, attempt=3)
    assert not last.dead_letter
    assert result_of(last).reason == "no version can serve on this node"


def test_an_engine_without_memory_for_one_row_costs_an_attempt_here() -> None:
    answer, _ = run(Shelf(IMAGES), failure=OutOfMemory("no room for one row"))
    assert answer.retry is not None
    assert (answer.retry.attempt, answer.retry.excluded_nodes) == (2, ("node-1",))


def test_a_model_that_answers_with_no_numbers_could_not_run() -> None:
    models = Held()
    models.model = model_of((16, 16, 16), lambda grid: grid * np.float32(np.nan))[0]
    assert run(Shelf(IMAGES), models)[0].outcome == "could_not_run"


def shadow(function: Any = lambda grid: grid) -> Model:
    made = model_of((16, 16, 16), function)[0]
    return dataclasses.replace(made, info=made.info.model_copy(update={"version": "2", "sha256": "b" * 64}))


def unseen_by(steps: Sequence[Any]) -> InferenceResult:
    """What the shadow said."""
    (aside,) = (step for step in steps if isinstance(step, Aside))
    assert (aside.topic, aside.key) == (Topic.SHADOW, IMAGES[0].StudyInstanceUID)
    assert isinstance(aside.event, InferenceResult)
    return aside.event


def fails(_: NDArray[np.float32]) -> NDArray[np.float32]:
    raise TransientFailure("not this time")


def breaks(_: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.zeros(3, np.float32)


def test_a_shadow_sees_the_same_images_and_is_told_apart() -> None:
    shelf = Shelf(IMAGES)
    answer, steps = run(shelf, Held(shadow()), callback_url="http://site/callback")
    result, unseen = result_of(answer), unseen_by(steps)
    assert [topic for topic, _, _ in answer.events] == [Topic.RESULTS, Topic.STATUS]
    assert [step.answer for step in steps if isinstance(step, Told)] == [answer], "the answer goes first"
    after = steps[[type(step) for step in steps].index(Told) :]
    assert [type(step) for step in after] == [Told, Compute, Request, Aside]
    assert (unseen.model.version, unseen.outcome) == ("2", ResultOutcome.FINDINGS)
    assert unseen.findings[0].measurements == result.findings[0].measurements
    assert unseen.event_id != result.event_id
    assert unseen.findings[0].finding_id != result.findings[0].finding_id
    assert (unseen.callback_url, unseen.artifacts, len(shelf.kept)) == (None, (), 1)
    assert len([step for step in steps if isinstance(step, Advanced)]) == len(
        [step for step in run(shelf)[1] if isinstance(step, Advanced)]
    )


@pytest.mark.parametrize("function", [fails, breaks])
def test_what_happens_to_a_shadow_does_not_touch_the_task(function: Any) -> None:
    class Engine:
        identity = staticmethod(lambda: "broken")
        infer = staticmethod(lambda tensors: {"out": function(tensors["in"])})

    broken = dataclasses.replace(shadow(), engine=Engine())  # type: ignore[arg-type] # all that is used of it

    answer, steps = run_with_engine_errors(broken)
    assert answer.outcome == "findings"
    unseen = unseen_by(steps)
    assert unseen.outcome is ResultOutcome.COULD_NOT_RUN
    assert unseen.reason


def run_with_engine_errors(broken: Model) -> tuple[Answer, list[Any]]:
    """As the scheduler does it: what an engine raises is raised in the task."""
    tasks = Tasks(Held(broken), Shelf(IMAGES), "node-1", system_clock)
    steps = tasks.steps(Begin(task_for(IMAGES, "http://gw/dicom-web", Priority.P3_NORMAL), 1.0))
    reply: Any = None
    seen = []
    while True:
        try:
            step = steps.throw(reply) if isinstance(reply, Exception) else steps.send(reply)
        except StopIteration as end:
            return end.value, seen
        reply = None
        seen.append(step)
        if isinstance(step, Request):
            try:
                reply = step.model.engine.infer(step.tensors)
            except TransientFailure as error:
                reply = error


def test_an_emergency_and_what_ended_a_process_wait_for_no_shadow() -> None:
    for steps in (
        run(Shelf(IMAGES), Held(shadow()), priority=Priority.P1_EMERGENCY)[1],
        run(Shelf(IMAGES), Held(shadow()), alone=True)[1],
        run(Shelf(IMAGES))[1],
    ):
        assert not [step for step in steps if isinstance(step, Told | Aside)]


def test_a_shadow_that_was_replaced_meanwhile_says_nothing() -> None:
    models = Held(shadow())
    models.using = lambda model: nullcontext(enter_result=False)  # type: ignore[method-assign,assignment] # it was closed
    answer, steps = run(Shelf(IMAGES), models)
    assert answer.outcome == "findings"
    assert [type(step) for step in steps][-2:] == [Told, Compute]


def test_a_shadow_whose_result_no_event_can_hold_could_not_run() -> None:
    task, model = task_for(IMAGES, "http://gw", Priority.P3_NORMAL), shadow()
    outcome = drive(pipeline.run(IMAGES, model), model.engine.infer)
    many = dataclasses.replace(
        outcome, warnings=tuple(f"one of very many warnings {number}" for number in range(300_000))
    )
    _, _, unseen = answers.of_shadow(task, task.series[0], model, many, "node-1", task.created_at)
    assert unseen.outcome is ResultOutcome.COULD_NOT_RUN
    assert "an event holds" in (unseen.reason or "")
