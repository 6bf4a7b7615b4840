"""Tasks that name a version: a real repository and scheduler, images in memory, loads that the test holds."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.base import Engine, Tensors
from engines.config_pbtxt import ModelConfig
from engines.repository import EngineFactory
from engines.rollout import Rollout, write_rollout
from engines.runtimes import engine_of
from engines.serving import Serving, open_repository
from schemas.errors import TransientFailure
from schemas.events import InferenceResult
from schemas.topics import Priority
from streams.clock import system_clock
from streams.worker.child.choice import KEPT_FREE_S, Limits
from streams.worker.child.held import Place
from streams.worker.child.work import Tasks
from streams.worker.protocol import Begin, Ended
from tests.engines import tiny
from tests.engines.phantom import series
from tests.services import wait_for
from tests.streams.worker.child.test_work import Shelf
from tests.streams.worker.child.works import P1, P3, Gate, Work, rank_of
from tests.streams.worker.tasks import task_for

IMAGES = series(np.full((8, 8, 8), 9), spacing_mm=(5, 3, 3), name="versions")


def repository(root: Path, *numbers: int) -> Path:
    for number in numbers:
        tiny.add_version(root, number)
    return root


def work_of(serving: Serving, limits: Limits | None = None) -> Work:
    return Work(Tasks(serving, Shelf(IMAGES), "node-1", system_clock).steps, limits)


def asked(number: int, priority: Priority = P3, version: str | None = None) -> Begin:
    named = task_for(
        IMAGES, "http://gw", priority, model_name=tiny.NAME, model_version=version, task_id=str(number)
    )
    return Begin(named, rank_of(priority))


def version_of(ended: Ended) -> str:
    result = ended.answer.events[0][2]
    assert isinstance(result, InferenceResult), ended.answer
    return result.model.version


def loading(slow: str, gate: Callable[[], None]) -> EngineFactory:
    def load(path: Path, config: ModelConfig) -> Engine:
        if path.parent.name == slow:
            gate()
        return engine_of(path, config)

    return load


def test_an_emergency_does_not_wait_for_versions_that_others_named(tmp_path: Path) -> None:
    gate = Gate()
    work = work_of(open_repository(repository(tmp_path, 1, 2), loading("1", gate)))
    waiting = Limits().network
    work.begin(*(asked(number, P1, "1.0") for number in range(waiting)))
    gate.reached()
    work.begin(asked(99, P1))
    first = work.next(Ended)
    assert (first.name[0], version_of(first)) == ("99", "2.0")
    gate.open()
    assert {version_of(work.next(Ended)) for _ in range(waiting)} == {"1.0"}
    work.close()


def test_tasks_of_the_same_class_go_on_while_many_wait_for_a_version(tmp_path: Path) -> None:
    gate = Gate()
    work = work_of(open_repository(repository(tmp_path, 1, 2), loading("1", gate)), Limits(tasks=2, network=1))
    work.begin(*(asked(number, P3, "1.0") for number in range(4)))
    gate.reached()
    work.begin(asked(99), asked(100))
    assert {work.next(Ended).name[0] for _ in range(2)} == {"99", "100"}
    gate.open()
    assert {version_of(work.next(Ended)) for _ in range(4)} == {"1.0"}
    work.close()


def test_an_emergency_whose_version_is_loaded_gives_way_to_others_after_a_while(tmp_path: Path) -> None:
    gate = Gate()
    work = work_of(open_repository(repository(tmp_path, 1, 2), loading("1", gate)), Limits(network=1))
    work.begin(asked(1, P1, "1.0"))
    gate.reached()
    (waiting,) = work.scheduler.in_work()
    waiting.moved_at -= KEPT_FREE_S  # that while is over
    work.begin(asked(99))
    assert work.next(Ended).name[0] == "99"
    gate.open()
    assert work.next(Ended).name[0] == "1"
    work.close()


def test_a_task_that_is_given_up_while_its_version_is_loaded_is_not_answered(tmp_path: Path) -> None:
    gate = Gate()
    work = work_of(open_repository(repository(tmp_path, 1, 2), loading("1", gate)))
    work.begin(asked(1, P3, "1.0"), asked(2, P3, "1.0"))
    gate.reached()
    wait_for(lambda: all(held.place is Place.ELSEWHERE for held in work.scheduler.in_work()), "both wait")
    work.scheduler.abandon(("1", 1))
    assert [held.name[0] for held in work.scheduler.in_work()] == ["2"]
    gate.open()
    assert work.next(Ended).name[0] == "2"
    assert work.close() == []


def test_a_version_that_cannot_be_loaded_is_said_to_the_task_that_named_it(tmp_path: Path) -> None:
    tiny.add_version(tmp_path, 1, expected=7.0)
    tiny.add_version(tmp_path, 2)
    work = work_of(open_repository(tmp_path, engine_of))
    for number in range(2):  # asked for again it is not loaded again
        work.begin(asked(number, P3, "1.0"))
        answer = work.next(Ended).answer
        assert answer.retry is not None, "another node may be able to"
        assert "version 1.0 of tiny cannot serve on this node" in str(answer.error)
        assert "does not answer its validation case" in str(answer.error)
    work.close()


class Counted:
    """Engines of a repository: how often each was closed, and those whose first inference of a task waits."""

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self.closed: Counter[str] = Counter()
        self.loaded: Counter[str] = Counter()
        self.armed: str | None = None
        self._before = before

    def __call__(self, path: Path, config: ModelConfig) -> Engine:
        engine, number = engine_of(path, config), path.parent.name
        self.loaded[number] += 1
        infer, close = engine.infer, engine.close

        def waiting(tensors: Tensors) -> dict[str, NDArray[Any]]:
            if self.armed == number:
                self._before()
            return infer(tensors)

        def counted() -> None:
            self.closed[number] += 1
            close()

        engine.infer, engine.close = waiting, counted  # type: ignore[method-assign]
        return engine


def test_an_engine_that_was_replaced_is_closed_once_when_its_last_task_has_ended(tmp_path: Path) -> None:
    gate = Gate()
    engines = Counted(gate)
    serving = open_repository(repository(tmp_path, 1), engines)
    work = work_of(serving)
    engines.armed = "1"
    work.begin(asked(1), asked(2))
    gate.reached()
    tiny.add_version(tmp_path, 2)
    assert serving.reload()
    tiny.add_version(tmp_path, 3)
    assert serving.reload()
    assert engines.closed == {}, "two tasks still use it"
    gate.open()
    assert [version_of(work.next(Ended)) for _ in range(2)] == ["1.0", "1.0"]
    wait_for(lambda: engines.closed == {"1": 1}, "the replaced engine to be closed")
    work.begin(asked(3))
    assert version_of(work.next(Ended)) == "3.0"
    work.close()
    assert engines.closed == {"1": 1}, "the one before stays warm"


def test_an_abandoned_task_gives_its_engine_back(tmp_path: Path) -> None:
    gate = Gate()
    engines = Counted(gate)
    serving = open_repository(repository(tmp_path, 1), engines)
    work = work_of(serving)
    engines.armed = "1"
    work.begin(asked(1))
    gate.reached()
    write_rollout(tmp_path / tiny.NAME, Rollout())
    assert serving.reload()
    work.scheduler.abandon(("1", 1))
    assert engines.closed == {}, "its last step is under way"
    gate.open()
    wait_for(lambda: engines.closed == {"1": 1}, "the engine to be closed")
    work.close()


def test_nothing_stays_open_of_versions_that_nobody_wants(tmp_path: Path) -> None:
    """Also where several threads take, replace and end at the same time."""
    engines = Counted()
    serving = open_repository(repository(tmp_path, 1, 2, 3), engines)
    over = threading.Event()

    def use(version: str | None) -> None:
        while not over.is_set():
            loading = serving.load(tiny.NAME, version)
            if loading is not None:
                loading.result()
            try:
                with serving.take("task", tiny.NAME, version) as chosen:
                    chosen.model.engine.infer({"in": np.zeros((1, *tiny.GRID, 1), np.float32)})
            except TransientFailure as error:
                assert "cannot serve on this node (the repository changed" in str(error)

    users = [threading.Thread(target=use, args=(version,)) for version in (None, None, "1.0", "2.0", "3.0")]
    for user in users:
        user.start()
    for turn in range(30):
        write_rollout(tmp_path / tiny.NAME, Rollout(serving=turn % 3 + 1))
        serving.reload()
    over.set()
    for user in users:
        user.join(60)
        assert not user.is_alive()
    write_rollout(tmp_path / tiny.NAME, Rollout(serving=1))
    serving.reload()
    assert engines.loaded - engines.closed == {"1": 1}
    assert engines.closed - engines.loaded == {}
