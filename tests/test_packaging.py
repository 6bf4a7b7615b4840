"""The distribution holds six packages with generic names; nothing else may own them, and nothing else gets in."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("schemas", "producers", "engines", "streams", "consumers", "dashboards")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_owns_the_package(package: str) -> None:
    assert set(packages_distributions().get(package, [])) <= {"scanstream"}


def test_the_wheel_holds_the_packages_and_their_data(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} <= {*PACKAGES, "scanstream-0.1.0.dist-info"}
    for needed in (
        "schemas/avsc/scanstream.v1.StudyReady.avsc",
        "schemas/terms.tsv",
        "schemas/phrases.tsv",
        "streams/rules.yaml",
        "engines/models/mri-brain-segmentation/1/model.onnx",
        "consumers/audit/ddl/0001_events.sql",
        "dashboards/local/jars.lock.json",
        "dashboards/demo/data/mr-brain/001.dcm",
    ):
        assert needed in names


def test_docker_and_demo_folders_are_no_packages() -> None:
    assert not (ROOT / "docker" / "__init__.py").exists()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_does_and_stays_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(('"""', 'r"""')) or not text.strip(), "a module opens with what it turns into what"
    assert len(text.splitlines()) <= 400, "one idea per file: split it"


def test_the_lock_file_names_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock and "index-url" not in lock
    pinned = [line for line in lock.splitlines() if re.match(r"^[a-z0-9]", line)]
    assert all("==" in line for line in pinned)
    assert lock.count("--hash=sha256:") >= len(pinned)
