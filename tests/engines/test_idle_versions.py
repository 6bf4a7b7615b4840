"""A version that a task named gives its memory back when no task names it any more."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engines.base import Engine
from engines.config_pbtxt import ModelConfig
from engines.records import Records
from engines.rollout import Rollout, write_rollout
from engines.runtimes import engine_of
from engines.serving import Serving
from tests.engines.tiny import NAME, add_version


@dataclass
class Node:
    """A repository with versions 1 to 3 of which 3 serves after 2, and which of them are closed."""

    root: Path
    now: float = 0.0
    closed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for number in (1, 2, 3):
            add_version(self.root, number)
        write_rollout(self.root / NAME, Rollout(serving=3, previous=2))
        self.serving = Serving(self.root, self._engine, Records(None), lambda: self.now)
        self.serving.reload()

    def _engine(self, path: Path, config: ModelConfig) -> Engine:
        made: Any = engine_of(path, config)
        close, number = made.close, path.parent.name

        def told() -> None:
            self.closed.append(number)
            close()

        made.close = told
        return made  # type: ignore[no-any-return]

    def load(self, version: str) -> bool:
        """Whether it had to be loaded."""
        loading = self.serving.load(NAME, version)
        if loading is not None:
            loading.result(60)
        return loading is not None

    def later(self, seconds: float) -> None:
        """Time passes, and the repository is looked at."""
        self.now += seconds
        self.serving.reload()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_it_is_closed_after_a_quarter_of_an_hour_and_loaded_again_for_the_next_task(node: Node) -> None:
    assert node.load("1.0")
    node.later(899)
    assert not node.load("1.0")
    with node.serving.take("task", NAME, "1.0"):
        pass
    node.later(899)
    assert not node.closed
    node.later(1)
    assert node.closed == ["1"]
    assert node.load("1.0")
    with node.serving.take("task", NAME, "1.0") as choice:
        assert choice.model.info.version == "1.0"


def test_what_a_task_uses_stays(node: Node) -> None:
    node.load("1.0")
    with node.serving.take("task", NAME, "1.0") as choice:
        node.later(10_000)
        assert not node.closed
        with node.serving.take("other", NAME, "1.0") as same:
            assert same.model is choice.model
    node.later(1000)
    assert node.closed == ["1"]


def test_what_the_rollout_names_stays_however_long_nobody_asks(node: Node) -> None:
    assert node.load("2.0")
    node.later(100_000)
    assert not node.closed
    assert not node.load("2.0")
    assert not node.load("3.0")
