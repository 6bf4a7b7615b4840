from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engines.base import Engine
from engines.config_pbtxt import ModelConfig
from engines.records import Records
from engines.repository import RELEASED
from engines.rollout import Canary, Rollout, write_rollout
from engines.runtimes import engine_of
from engines.serving import Serving, open_repository
from schemas.errors import ConfigurationError, DestinationUnavailable, InvalidMessage, TransientFailure
from schemas.events import VersionState
from tests.engines.tiny import NAME, add_version, graph, write_info

SERVING, CANARY, SHADOW = VersionState.SERVING, VersionState.CANARY, VersionState.SHADOW
STANDBY, REFUSED = VersionState.STANDBY, VersionState.REFUSED


def opened(root: Path) -> Serving:
    return open_repository(root, engine_of)


def states(serving: Serving) -> dict[str, VersionState]:
    return {state.version: state.state for state in serving.states()}


def reason(serving: Serving, version: str) -> str:
    return next(state.reason or "" for state in serving.states() if state.version == version)


def version_of(serving: Serving, task_id: str = "task", pinned: str | None = None) -> str:
    loading = serving.load(NAME, pinned)
    if loading is not None:
        loading.result(60)
    with serving.take(task_id, NAME, pinned) as choice:
        return choice.model.info.version


def test_the_released_repository_serves() -> None:
    serving = opened(RELEASED)
    choice = serving.choose("task", "mri-brain-segmentation")
    assert choice.role is SERVING
    state = next(state for state in serving.states() if state.name == "mri-brain-segmentation")
    assert (state.version, state.sha256, state.reason) == ("0.1", choice.model.info.sha256, None)
    assert not serving.reload()


def test_without_a_rollout_the_newest_version_serves_and_others_wait(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        add_version(tmp_path, number)
    serving = opened(tmp_path)
    assert states(serving) == {"1.0": STANDBY, "2.0": STANDBY, "10.0": SERVING}
    assert version_of(serving) == "10.0"


def test_an_unknown_model_is_invalid_and_those_there_are_are_named(tmp_path: Path) -> None:
    add_version(tmp_path, 1)
    with pytest.raises(InvalidMessage, match=r"'chest'.*this node has tiny"):
        opened(tmp_path).choose("task", "chest")


def test_a_share_of_the_tasks_goes_to_the_canary_and_always_the_same_ones(tmp_path: Path) -> None:
    add_version(tmp_path, 1)
    add_version(tmp_path, 2)
    write_rollout(tmp_path / NAME, Rollout(serving=1, canary=Canary(version=2, share=0.2)))
    first, second = opened(tmp_path), opened(tmp_path)
    tasks = [f"task {number}" for number in range(2000)]
    chosen = [first.choose(task, NAME).role for task in tasks]
    assert chosen == [second.choose(task, NAME).role for task in tasks]
    assert set(chosen) == {SERVING, CANARY}
    assert 0.17 < chosen.count(CANARY) / len(tasks) < 0.23


def test_shadows_are_told_apart_from_what_serves(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        add_version(tmp_path, number)
    write_rollout(tmp_path / NAME, Rollout(serving=1, shadow=(3,)))
    serving = opened(tmp_path)
    assert [model.info.version for model in serving.shadows(NAME)] == ["3.0"]
    assert serving.shadows("chest") == ()
    assert states(serving) == {"1.0": SERVING, "2.0": STANDBY, "3.0": SHADOW}


def test_a_pinned_version_answers_by_its_title_or_number(tmp_path: Path) -> None:
    add_version(tmp_path, 1)
    add_version(tmp_path, 2)
    serving = opened(tmp_path)
    assert version_of(serving, pinned="1.0") == "1.0"
    assert serving.choose("task", NAME, "1.0").role is STANDBY
    assert version_of(serving, pinned="1") == "1.0"
    assert serving.choose("task", NAME, "2.0").role is SERVING
    with pytest.raises(InvalidMessage, match=r"no version '7': there are 1\.0, 2\.0"):
        version_of(serving, pinned="7")


def lie_about_shape(folder: Path) -> None:
    config = folder / "config.pbtxt"
    config.write_text(config.read_text().replace("[ 1, 4, 4, 4, 1 ]", "[ 1, 8, 8, 8, 1 ]"))


def wrong_opset(folder: Path) -> None:
    (folder / "2" / "model.onnx").write_bytes(graph(0.5, opset=99))
    write_info(folder / "2", "2.0")


def changed_file(folder: Path) -> None:
    (folder / "2" / "model.onnx").write_bytes(graph(0.6))


def no_validation(folder: Path) -> None:
    (folder / "2" / "validation" / "ramp" / "case.json").unlink()


def case_without_expectation(folder: Path) -> None:
    (folder / "2" / "validation" / "ramp" / "case.json").write_text('{"arrays": "inputs.npz"}')


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (wrong_opset, "opset 99 and ONNX Runtime"),
        (changed_file, "restore the model file"),
        (no_validation, "holds no case"),
        (case_without_expectation, "arrays need expected_arrays"),
    ],
)
def test_a_version_that_cannot_serve_is_refused_and_the_previous_one_serves(
    tmp_path: Path, damage: Callable[[Path], None], problem: str
) -> None:
    add_version(tmp_path, 1)
    add_version(tmp_path, 2)
    damage(tmp_path / NAME)
    serving = opened(tmp_path)
    assert states(serving) == {"1.0": SERVING, "2.0": REFUSED}
    assert problem in reason(serving, "2.0")
    assert version_of(serving) == "1.0"
    with pytest.raises(TransientFailure, match="cannot serve on this node"):
        version_of(serving, pinned="2.0")


def test_a_version_that_answers_otherwise_than_recorded_is_refused(tmp_path: Path) -> None:
    add_version(tmp_path, 1)
    add_version(tmp_path, 2, factor=0.5, expected=0.6)
    serving = opened(tmp_path)
    assert states(serving) == {"1.0": SERVING, "2.0": REFUSED}
    assert "out deviates by 0.1, allowed 1e-05" in reason(serving, "2.0")


def test_two_versions_of_one_title_cannot_both_serve(tmp_path: Path) -> None:
    add_version(tmp_path, 1)
    add_version(tmp_path, 2, title="1.0")
    serving = opened(tmp_path)
    assert [(state.state, state.version) for state in serving.states()] == [(SERVING, "1.0"), (REFUSED, "1.0")]
    assert "both called 1.0" in str(serving.states()[1].reason)


def test_without_any_version_that_can_serve_a_node_does_not_start(tmp_path: Path) -> None:
    add_version(tmp_path, 1)
    lie_about_shape(tmp_path / NAME)
    with pytest.raises(ConfigurationError, match="does not describe the input in of the graph"):
        opened(tmp_path)


def test_a_dropped_version_is_taken_up_and_one_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    add_version(tmp_path, 1)
    serving = opened(tmp_path)
    before = serving.choose("task", NAME).model
    add_version(tmp_path, 2, expected=9)
    assert serving.reload()
    assert serving.choose("task", NAME).model is before
    assert states(serving) == {"1.0": SERVING, "2.0": REFUSED}
    add_version(tmp_path, 3)
    assert serving.reload()
    assert version_of(serving) == "3.0"
    assert not serving.reload()


def test_a_new_rollout_is_taken_up_without_loading_again_what_runs(tmp_path: Path) -> None:
    add_version(tmp_path, 1)
    add_version(tmp_path, 2)
    loads: list[Path] = []

    def counting(path: Path, config: ModelConfig) -> object:
        loads.append(path)
        return engine_of(path, config)

    write_rollout(tmp_path / NAME, Rollout(serving=1, shadow=(2,)))
    serving = open_repository(tmp_path, counting)  # type: ignore[arg-type]
    assert len(loads) == 2
    write_rollout(tmp_path / NAME, Rollout(serving=2, previous=1))
    assert serving.reload()
    assert states(serving) == {"1.0": STANDBY, "2.0": SERVING}
    write_rollout(tmp_path / NAME, Rollout(serving=1))
    assert serving.reload()
    assert version_of(serving) == "1.0"
    assert len(loads) == 2


def test_a_damaged_rollout_changes_nothing_for_what_runs_and_nothing_is_guessed_for_a_new_model(
    tmp_path: Path,
) -> None:
    add_version(tmp_path, 1)
    add_version(tmp_path, 2)
    write_rollout(tmp_path / NAME, Rollout(serving=1))
    serving = opened(tmp_path)
    (tmp_path / NAME / "rollout.json").write_text('{"serving": 7}')
    serving.reload()
    assert version_of(serving) == "1.0"
    with pytest.raises(ConfigurationError, match="serving is version 7, and there are 1, 2"):
        opened(tmp_path)


def test_a_file_that_changes_under_a_running_version_stops_it(tmp_path: Path) -> None:
    add_version(tmp_path, 1)
    serving = opened(tmp_path)
    (tmp_path / NAME / "1" / "model.onnx").write_bytes(graph(0.7))
    assert serving.reload()
    assert states(serving) == {"1.0": REFUSED}
    with pytest.raises(TransientFailure, match=r"no version of tiny can serve.*restore the model file"):
        version_of(serving)


def test_a_model_whose_folder_is_gone_is_unknown(tmp_path: Path) -> None:
    add_version(tmp_path, 1)
    serving = opened(tmp_path)
    (tmp_path / NAME / "config.pbtxt").unlink()
    assert serving.reload()
    with pytest.raises(InvalidMessage, match="this node has none"):
        version_of(serving)


def test_a_pass_is_remembered_for_these_bytes_on_this_engine_only(tmp_path: Path) -> None:
    root, records = tmp_path / "models", tmp_path / "records"
    own = add_version(root, 1)

    def named(name: str) -> Callable[..., object]:
        def factory(path: Path, config: ModelConfig) -> object:
            engine = engine_of(path, config)
            engine.identity = lambda: name  # type: ignore[method-assign]
            return engine

        return factory

    for name, count in (("engine 1", 1), ("engine 1", 1), ("engine 2", 2)):
        open_repository(root, named(name), records)  # type: ignore[arg-type]
        assert len(list(records.glob("*.json"))) == count
    np.savez(own / "validation" / "ramp" / "expected.npz", out=np.ones((1, 4, 4, 4, 1), np.float32))
    with pytest.raises(ConfigurationError, match="does not answer"):
        open_repository(root, named("engine 1"), records)  # type: ignore[arg-type]


def test_a_damaged_record_is_none(tmp_path: Path) -> None:
    root, records = tmp_path / "models", tmp_path / "records"
    add_version(root, 1)
    open_repository(root, engine_of, records)
    (record,) = records.glob("*.json")
    record.write_text("{")
    open_repository(root, engine_of, records)
    assert json.loads(record.read_text())["model"] == NAME


def test_a_new_model_serves_once_its_damaged_rollout_is_mended(tmp_path: Path) -> None:
    add_version(tmp_path, 1)
    (tmp_path / NAME / "rollout.json").write_text('{"serving": 7}')
    serving = Serving(tmp_path, engine_of, Records())
    serving.reload()
    assert states(serving) == {"1.0": REFUSED}
    write_rollout(tmp_path / NAME, Rollout(serving=1))
    assert serving.reload()
    assert states(serving) == {"1.0": SERVING}
    assert version_of(serving) == "1.0"


def test_a_version_serves_once_the_other_of_its_title_is_gone(tmp_path: Path) -> None:
    add_version(tmp_path, 1)
    add_version(tmp_path, 2, title="1.0")
    serving = opened(tmp_path)
    assert reason(serving, "1.0") == ""
    assert [state.state for state in serving.states()] == [SERVING, REFUSED]
    write_info(tmp_path / NAME / "1", "0.9")
    assert serving.reload()
    assert states(serving) == {"0.9": STANDBY, "1.0": SERVING}


def test_a_version_whose_server_was_away_is_tried_again(tmp_path: Path) -> None:
    add_version(tmp_path, 1)
    add_version(tmp_path, 2)
    tried, away = [], {"1", "2"}

    def served(path: Path, config: ModelConfig) -> Engine:
        tried.append(path.parent.name)
        if path.parent.name in away:
            raise DestinationUnavailable("the server cannot be reached: check it")
        return engine_of(path, config)

    serving = Serving(tmp_path, served, Records())
    serving.reload()
    assert "cannot be reached" in reason(serving, "2.0")
    assert not serving.reload(), "still away"
    away.remove("1")
    assert serving.reload()
    assert states(serving) == {"1.0": SERVING, "2.0": REFUSED}
    away.clear()
    assert serving.reload()
    assert states(serving) == {"1.0": STANDBY, "2.0": SERVING}
    tried.clear()
    assert not serving.reload()
    assert not tried


def test_a_pinned_version_whose_server_was_away_is_tried_again(tmp_path: Path) -> None:
    add_version(tmp_path, 1)
    add_version(tmp_path, 2)
    away = ["1"]

    def served(path: Path, config: ModelConfig) -> Engine:
        if path.parent.name in away:
            raise DestinationUnavailable("the server cannot be reached: check it")
        return engine_of(path, config)

    serving = open_repository(tmp_path, served)
    with pytest.raises(TransientFailure, match="cannot be reached"):
        version_of(serving, pinned="1.0")
    away.clear()
    assert version_of(serving, pinned="1.0") == "1.0"
    assert states(serving) == {"1.0": STANDBY, "2.0": SERVING}


def test_the_serving_version_that_a_task_loaded_once_its_server_was_back_serves(tmp_path: Path) -> None:
    add_version(tmp_path, 1)
    add_version(tmp_path, 2)
    away = ["2"]

    def served(path: Path, config: ModelConfig) -> Engine:
        if path.parent.name in away:
            raise DestinationUnavailable("the server cannot be reached: check it")
        return engine_of(path, config)

    serving = open_repository(tmp_path, served)
    assert states(serving) == {"1.0": SERVING, "2.0": REFUSED}
    away.clear()
    assert version_of(serving, pinned="2.0") == "2.0"
    assert serving.reload()
    assert states(serving) == {"1.0": STANDBY, "2.0": SERVING}


def test_a_shadow_that_becomes_canary_is_no_shadow_any_more() -> None:
    assert Rollout(serving=1, shadow=(2, 3)).try_on(2, 0.1) == Rollout(
        serving=1, canary=Canary(version=2, share=0.1), shadow=(3,)
    )
