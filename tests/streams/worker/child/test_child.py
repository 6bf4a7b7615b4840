"""The real computing process with real models and a real gateway."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from engines.repository import RELEASED
from engines.rollout import Rollout, write_rollout
from schemas.events import InferenceResult, InferenceTask, ResultOutcome, TaskState, TaskStatus, VersionState
from schemas.settings import WorkerSettings
from schemas.topics import Priority, Topic
from streams.worker.answers import Answer
from streams.worker.child import ChildLink, Setup, start
from streams.worker.protocol import Abandon, Aside, Begin, Computing, Ended, FromChild, Loaded, Moved, Unreachable
from tests.engines import tiny
from tests.engines.phantom import series
from tests.producers.dicomweb.conftest import Gateway, gateway
from tests.services import wait_for
from tests.streams.worker.child.talk import until
from tests.streams.worker.site import store
from tests.streams.worker.tasks import MODEL, task_for
from tests.tools import free_port

__all__ = ["gateway"]

pytestmark = pytest.mark.integration

P1, P2, P3, P4 = Priority


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The brain model, and a tiny one whose newest version does not answer as recorded."""
    root = tmp_path_factory.mktemp("models")
    (root / MODEL).symlink_to(RELEASED / MODEL)
    tiny.add_version(root, 1)
    tiny.add_version(root, 2, expected=7.0)
    return root


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records")


@contextmanager
def child_of(models: Path, records: Path) -> Iterator[ChildLink]:
    link = start(Setup(WorkerSettings(model_repository=models, threads=1), "node-1", records=records))
    try:
        yield link
    finally:
        link.close()


@pytest.fixture(scope="module")
def child(models: Path, records: Path) -> Iterator[ChildLink]:
    """One process for the tests that leave it as it was."""
    with child_of(models, records) as link:
        loaded = until(link, Loaded)
        states = {(entry.name, entry.version): entry for entry in loaded.models}
        assert states[MODEL, "0.1"].state is VersionState.SERVING
        assert states[tiny.NAME, "1.0"].state is VersionState.SERVING
        assert states[tiny.NAME, "2.0"].state is VersionState.REFUSED
        assert "validation" in (states[tiny.NAME, "2.0"].reason or "")
        assert {entry.name: entry.version for entry in loaded.identities} == {MODEL: "0.1", tiny.NAME: "1.0"}
        assert loaded.engine.startswith("onnxruntime")
        yield link
    assert link.exitcode == 0


def small_series(slices: int = 8) -> list[Dataset]:
    noise = np.random.default_rng(3).integers(0, 900, (slices, 64, 64))
    return series(noise, spacing_mm=(5, 3, 3), name=generate_uid())


def asked_for(
    gateway: Gateway, priority: Priority = P3, model: str = tiny.NAME, **changes: object
) -> InferenceTask:
    """A task for a small study that the gateway holds."""
    images = small_series()
    store(gateway.dicom_web, images)
    return task_for(images, gateway.dicom_web, priority, model_name=model, **changes)


def answer_to(link: ChildLink, task: InferenceTask, said: list[FromChild] | None = None) -> Answer:
    link.send(Begin(task, float(task.priority.rank)))
    ended = until(link, Ended, said)
    assert ended.name == (task.task_id, task.attempt)
    return ended.answer


def result_of(answer: Answer) -> InferenceResult:
    result = answer.events[0][2]
    assert isinstance(result, InferenceResult)
    return result


def test_a_task_is_answered_and_every_stage_told(child: ChildLink, gateway: Gateway) -> None:
    said: list[FromChild] = []
    answer = answer_to(child, asked_for(gateway, model=MODEL, patient_key="k"), said)
    moves = [(entry.state, entry.progress) for entry in said if isinstance(entry, Moved)]
    states = [state for state, _ in moves]
    assert list(dict.fromkeys(states)) == [TaskState.PREPROCESSING, TaskState.INFERRING, TaskState.POSTPROCESSING]
    assert moves == sorted(moves, key=lambda move: move[1])
    result, status = result_of(answer), answer.events[1][2]
    assert isinstance(status, TaskStatus)
    assert result.model.version == status.model_version == "0.1"
    assert result.patient_key == "k"
    names = [stage.name for stage in answer.stages]
    assert (names[0], names[-1]) == ("fetch", "store")


def test_models_side_by_side_and_the_version_before_where_the_newest_does_not_answer_as_recorded(
    child: ChildLink, gateway: Gateway
) -> None:
    tasks = [asked_for(gateway, model=model) for model in (MODEL, tiny.NAME, MODEL, tiny.NAME)]
    for task in tasks:
        child.send(Begin(task, 3.0))
    ended = [until(child, Ended) for _ in tasks]
    models = {entry.name[0]: result_of(entry.answer).model for entry in ended}
    assert [(models[task.task_id].name, models[task.task_id].version) for task in tasks] == [
        (MODEL, "0.1"),
        (tiny.NAME, "1.0"),
    ] * 2


def test_what_is_wrong_is_said_and_where(child: ChildLink, gateway: Gateway) -> None:
    few = small_series(1)
    store(gateway.dicom_web, few)
    invalid = answer_to(child, task_for(few, gateway.dicom_web, P3, model_name=tiny.NAME))
    assert (invalid.outcome, result_of(invalid).outcome) == ("could_not_run", ResultOutcome.COULD_NOT_RUN)
    assert "at least" in (result_of(invalid).reason or "")
    unknown = answer_to(child, asked_for(gateway, model="none"))
    reason = result_of(unknown).reason or ""
    assert f"no model is called 'none': this node has {MODEL}, {tiny.NAME}" in reason
    version = answer_to(child, asked_for(gateway, model_version="9.9"))
    assert result_of(version).reason == "model tiny has no version '9.9': there are 1.0, 2.0"
    refused = answer_to(child, asked_for(gateway, model_version="2.0"))
    assert refused.retry is not None, "another node may be able to"
    missing = answer_to(child, task_for(small_series(), gateway.dicom_web, P3, model_name=tiny.NAME))
    assert missing.retry is not None
    assert type(missing.error).__name__ == "NotHeld"


def test_a_gateway_that_is_away_holds_nothing_else_up(child: ChildLink, gateway: Gateway) -> None:
    away = task_for(small_series(), f"http://127.0.0.1:{free_port()}/dicom-web", P3, model_name=tiny.NAME)
    child.send(Begin(away, 3.0))
    said: list[FromChild] = []
    answer = answer_to(child, asked_for(gateway), said)
    assert answer.outcome in ("findings", "no_findings")
    unreachable = next((entry for entry in said if isinstance(entry, Unreachable)), None) or until(
        child, Unreachable
    )
    assert unreachable.name == (away.task_id, 1)


def test_an_emergency_goes_before_what_waits_and_what_is_given_up_is_not_answered(
    child: ChildLink, gateway: Gateway
) -> None:
    routine = [asked_for(gateway, P4, MODEL) for _ in range(4)]
    urgent = asked_for(gateway, P1, MODEL)
    for task in routine:
        child.send(Begin(task, 4.0))
    while routine[0].task_id not in {name for name, _ in until(child, Computing).names}:
        pass
    child.send(Abandon((routine[1].task_id, 1)))
    child.send(Begin(urgent, 0.0))
    order = [until(child, Ended).name[0] for _ in range(4)]
    assert order.index(urgent.task_id) <= 1, "one routine task may have been in its last steps"
    assert sorted(order) == sorted(task.task_id for task in (*routine, urgent) if task is not routine[1])


def test_a_shadow_and_a_new_version_are_taken_up_without_a_new_start(
    gateway: Gateway, records: Path, tmp_path: Path
) -> None:
    tiny.add_version(tmp_path, 1)
    with child_of(tmp_path, records) as link:
        until(link, Loaded)
        tiny.add_version(tmp_path, 2)
        write_rollout(tmp_path / tiny.NAME, Rollout(serving=1, shadow=(2,)))
        while {entry.version: entry.state for entry in until(link, Loaded).models}.get("2.0") is not (
            VersionState.SHADOW
        ):
            pass
        answer = answer_to(link, asked_for(gateway))
        assert result_of(answer).model.version == "1.0"
        assert Topic.SHADOW not in {topic for topic, _, _ in answer.events}
        aside = until(link, Aside)
        assert aside.topic is Topic.SHADOW
        unseen = aside.event
        assert isinstance(unseen, InferenceResult)
        assert unseen.model.version == "2.0"


def test_killed_in_the_middle_it_said_what_it_was_at_and_answers_nothing(
    models: Path, records: Path, gateway: Gateway
) -> None:
    task = asked_for(gateway, model=MODEL)
    with child_of(models, records) as link:
        until(link, Loaded)
        link.send(Begin(task, 3.0))
        assert until(link, Computing).names == ((task.task_id, 1),)
        link.kill()
        wait_for(lambda: not link.alive, "the end")
        rest = []
        while (message := link.receive(30.0)) is not None:
            rest.append(message)
        assert not [entry for entry in rest if isinstance(entry, Ended)]
        assert link.exitcode == -signal.SIGKILL


def test_a_pipe_that_closes_ends_it_in_the_middle(models: Path, records: Path, gateway: Gateway) -> None:
    task = asked_for(gateway, model=MODEL)
    with child_of(models, records) as link:
        until(link, Loaded)
        link.send(Begin(task, 3.0))
        while until(link, Moved).state is not TaskState.INFERRING:
            pass
        link.close()
        assert link.exitcode == 0, "it ended by itself"


def test_tasks_that_come_while_models_load_are_kept(models: Path, records: Path, gateway: Gateway) -> None:
    kept, abandoned = asked_for(gateway), asked_for(gateway)
    with child_of(models, records) as link:
        link.send(Begin(abandoned, 3.0))
        link.send(Begin(kept, 3.0))
        link.send(Abandon((abandoned.task_id, 1)))
        assert until(link, Ended).name == (kept.task_id, 1)
