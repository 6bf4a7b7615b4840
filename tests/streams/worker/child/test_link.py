"""Contract of the link, over the fake one and over a real process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schemas.events import ModelState, VersionState
from schemas.settings import WorkerSettings
from streams.worker.child import ChildLink, Setup, start
from streams.worker.child.link import SpawnedChild
from streams.worker.protocol import Abandon, Begin, Health, Loaded, Rerank
from tests.engines.tiny import NAME, add_version
from tests.services import wait_for
from tests.streams.worker.child.fake import FakeChild
from tests.streams.worker.child.talk import until
from tests.streams.worker.tasks import task

Make = Callable[[], ChildLink]


def real(root: Path) -> ChildLink:
    return start(Setup(WorkerSettings(model_repository=root, threads=1), "node-1"))


def fake(_: Path) -> ChildLink:
    child = FakeChild()
    child.say(Health(1), Loaded("none", (ModelState(NAME, "1.0", "aa", VersionState.SERVING),)))
    return child


@pytest.fixture(params=[pytest.param(real, marks=pytest.mark.integration), fake], ids=["process", "fake"])
def link(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ChildLink]:
    add_version(tmp_path, 1)
    made: ChildLink = request.param(tmp_path)
    yield made
    made.close()


def test_it_lives_says_that_models_are_loaded_and_ends_when_told(link: ChildLink) -> None:
    loaded = until(link, Loaded)
    assert [(entry.name, entry.state) for entry in loaded.models] == [(NAME, VersionState.SERVING)]
    assert (link.alive, link.exitcode) == (True, None)
    link.send(Begin(task(model_name="none"), 1.0, alone=True))
    link.send(Rerank(("none", 1), 2.0))
    link.send(Abandon(("none", 1)))
    link.close()
    assert (link.alive, link.exitcode) == (False, 0)
    link.close()


def test_one_that_was_killed_is_heard_to_its_end_and_spoken_to_in_vain(link: ChildLink) -> None:
    until(link, Loaded)
    link.kill()
    wait_for(lambda: not link.alive, "the end")
    assert link.exitcode == -signal.SIGKILL
    while link.receive(30.0) is not None:
        pass
    link.send(Begin(task(), 1.0))
    link.kill()
    assert link.receive(0) is None
    link.close()
    assert link.exitcode == -signal.SIGKILL


@pytest.mark.integration
def test_only_its_parent_ends_it(tmp_path: Path) -> None:
    add_version(tmp_path, 1)
    link = real(tmp_path)
    assert isinstance(link, SpawnedChild)
    assert os.getpgid(link.pid) != os.getpgid(0)
    until(link, Loaded)
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(link.pid, number)
    first, second = until(link, Health), until(link, Health)
    assert min(first.memory_bytes, second.memory_bytes) > 10_000_000
    link.close()
    assert link.exitcode == 0


@pytest.mark.integration
def test_without_a_model_it_does_not_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    link = real(tmp_path)
    wait_for(lambda: not link.alive, "the end")
    assert link.exitcode == 78
    assert "SCANSTREAM_WORKER_MODEL_REPOSITORY" in capfd.readouterr().err
    link.close()
