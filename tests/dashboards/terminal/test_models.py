"""``scanstream models`` on a repository of small models: from a file of a stranger to a version that serves."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner

from dashboards.terminal.commands.models import app
from engines.repository import RELEASED
from engines.rollout import read_rollout
from engines.runtimes import engine_of
from engines.serving import open_repository
from schemas.errors import ConfigurationError, DestinationUnavailable, InvalidInput, PermanentRejection
from tests.engines.tiny import NAME, add_version, graph
from tests.tools import free_port


@pytest.fixture
def root(tmp_path: Path) -> Path:
    add_version(tmp_path / "models", 1)
    return tmp_path / "models"


@pytest.fixture
def offered(tmp_path: Path) -> Path:
    """A model folder of someone else, with another version of the model."""
    add_version(tmp_path / "offered", 4, factor=0.25, title="2026.4")
    return tmp_path / "offered" / NAME


def run(root: Path, *arguments: str) -> Any:
    """What the command says with ``--json``; its errors are raised as the terminal would catch them."""
    done = CliRunner().invoke(app, [*arguments, "--repository", str(root), "--json"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return json.loads(done.stdout) if done.stdout else done.exit_code


def said(root: Path, *arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments, "--repository", str(root)])
    assert done.exit_code == 0, done.output
    return done.output


def roles(root: Path) -> dict[str, str]:
    return {row["version"]: row["role"] for row in run(root, "list")}


def packed(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.make_archive(str(tmp_path / "packed"), "zip", folder.parent, folder.name))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_model_is_pulled_tried_promoted_and_rolled_back(root: Path, offered: Path) -> None:
    pulled = run(root, "pull", str(offered))
    assert (pulled["name"], pulled["number"], pulled["info"]["version"]) == (NAME, 2, "2026.4")
    assert roles(root) == {"1.0": "serving", "2026.4": "standby"}
    assert all(answer["passed"] for answer in run(root, "validate"))
    assert run(root, "promote", NAME, "2", "--as", "canary", "--share", "0.5")["canary"] == {
        "version": 2,
        "share": 0.5,
    }
    assert roles(root) == {"1.0": "serving", "2026.4": "canary"}
    run(root, "promote", NAME, "2026.4")
    assert roles(root) == {"1.0": "previous", "2026.4": "serving"}
    assert open_repository(root, engine_of).choose("task", NAME).model.info.version == "2026.4"
    run(root, "rollback", NAME)
    assert roles(root) == {"1.0": "serving", "2026.4": "standby"}


def test_people_are_told_what_to_do_next(root: Path, offered: Path) -> None:
    assert "what served goes on" in said(root, "pull", str(offered))
    assert "serving" in said(root, "list")
    assert "passed on onnxruntime" in said(root, "validate", NAME, "--version", "2")
    told = said(root, "promote", NAME, "2", "--as", "shadow")
    assert "2 run as shadow" in told
    assert "scanstream models rollback tiny" in told


def test_a_model_that_is_new_does_not_serve_before_somebody_says_so(tmp_path: Path, offered: Path) -> None:
    root = tmp_path / "empty"
    assert run(root, "pull", str(packed(offered, tmp_path)))["is_new_model"]
    assert roles(root) == {"2026.4": "standby"}
    with pytest.raises(ConfigurationError, match=r"no model of .* can serve"):
        open_repository(root, engine_of)
    with pytest.raises(ConfigurationError, match="before another one serves"):
        run(root, "promote", NAME, "1", "--as", "canary")
    run(root, "promote", NAME, "1")
    assert open_repository(root, engine_of).choose("task", NAME).model.info.version == "2026.4"


@pytest.fixture
def server(tmp_path: Path, offered: Path) -> Iterator[tuple[str, str]]:
    archive = packed(offered, tmp_path)
    handler = partial(SimpleHTTPRequestHandler, directory=str(archive.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}", digest(archive)
        running.shutdown()
        thread.join()


def test_a_model_is_fetched_only_with_the_digest_that_was_named(root: Path, server: tuple[str, str]) -> None:
    address, sha256 = server
    with pytest.raises(ConfigurationError, match="--sha256 is required for a URL"):
        run(root, "pull", f"{address}/packed.zip")
    with pytest.raises(InvalidInput, match=f"has sha256 {sha256} and {'0' * 64} was expected"):
        run(root, "pull", f"{address}/packed.zip", "--sha256", "0" * 64)
    with pytest.raises(PermanentRejection, match="answered 404"):
        run(root, "pull", f"{address}/other.zip", "--sha256", sha256)
    with pytest.raises(DestinationUnavailable, match="cannot be fetched"):
        run(root, "pull", f"http://127.0.0.1:{free_port()}/packed.zip", "--sha256", sha256)
    assert roles(root) == {"1.0": "serving"}
    assert run(root, "pull", f"{address}/packed.zip", "--sha256", sha256.upper())["number"] == 2


def without_validation(folder: Path) -> None:
    shutil.rmtree(folder / "4" / "validation")


def changed_model(folder: Path) -> None:
    (folder / "4" / "model.onnx").write_bytes(graph(0.9))


def without_config(folder: Path) -> None:
    (folder / "config.pbtxt").unlink()


def other_shape(folder: Path) -> None:
    config = folder / "config.pbtxt"
    config.write_text(config.read_text().replace("4, 4, 4", "8, 8, 8"))


def name_of_a_path(folder: Path) -> None:
    config = folder / "config.pbtxt"
    config.write_text(config.read_text().replace('"tiny"', '"../evil"'))


def taken_title(folder: Path) -> None:
    info = folder / "4" / "model_info.json"
    info.write_text(info.read_text().replace("2026.4", "1.0"))


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (without_validation, "no validation/ folder"),
        (changed_model, "restore the model file"),
        (without_config, "it holds no config.pbtxt"),
        (other_shape, r"config\.pbtxt of tiny differs"),
        (name_of_a_path, r"'\.\./evil'"),
        (taken_title, r"is called 1\.0 already"),
    ],
)
def test_what_cannot_be_the_next_version_leaves_the_repository_as_it_was(
    root: Path, offered: Path, damage: Callable[[Path], None], problem: str
) -> None:
    before = sorted(root.rglob("*"))
    damage(offered)
    with pytest.raises(InvalidInput, match=problem):
        run(root, "pull", str(offered))
    assert sorted(root.rglob("*")) == before
    assert not (root.parent / "evil").exists()


def test_the_same_file_is_not_pulled_twice(root: Path, offered: Path) -> None:
    run(root, "pull", str(offered))
    with pytest.raises(InvalidInput, match="version 2 of tiny is this file already"):
        run(root, "pull", str(offered))


def test_a_version_that_fails_here_is_not_promoted_unless_asked(root: Path) -> None:
    add_version(root, 2, expected=3)
    assert run(root, "validate", NAME, "--version", "2")[0]["problem"].startswith("model tiny 2.0 on onnxruntime")
    with pytest.raises(ConfigurationError, match="nothing changed, since version 2 would not serve"):
        run(root, "promote", NAME, "2")
    assert not (root / NAME / "rollout.json").exists()
    run(root, "promote", NAME, "2", "--no-check")
    assert read_rollout(root / NAME, (1, 2)).serving == 2


def test_an_archive_may_hold_the_model_without_its_folder(root: Path, offered: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "flat"), "gztar", offered)
    assert run(root, "pull", archive, "--sha256", digest(Path(archive)))["number"] == 2
    assert roles(root) == {"1.0": "serving", "2026.4": "standby"}


def test_there_must_be_something_to_go_back_to(root: Path) -> None:
    with pytest.raises(ConfigurationError, match="no version served before version 1"):
        run(root, "rollback", NAME)


def test_names_that_are_not_there_are_answered_with_those_that_are(root: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no model is called 'chest'.*holds tiny"):
        run(root, "promote", "chest", "1")
    with pytest.raises(ConfigurationError, match=r"no version '9': there are 1 \(1\.0\)"):
        run(root, "promote", NAME, "9")


def test_the_models_of_the_release_are_not_changed(offered: Path) -> None:
    for arguments in (("pull", str(offered)), ("rollback", "mri-brain-segmentation")):
        with pytest.raises(ConfigurationError, match="stays as it is: copy it"):
            run(RELEASED, *arguments)
