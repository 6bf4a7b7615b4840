"""Validation sets of the general form: arrays through the graph, DICOM through the whole way."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from engines.model import Model
from engines.outcome import Outcome
from engines.pipeline import run
from engines.records import Records
from engines.repository import RELEASED, load_version
from engines.runtimes import engine_of
from engines.series_files import read_series
from engines.steps import drive
from engines.validation import validate
from schemas.errors import ConfigurationError, DestinationUnavailable
from tests.engines.stub import Stub
from tests.engines.tiny import NAME, add_version

CT = RELEASED / "ct-hyperdensity"
Change = Callable[[Path], None]


def way(images: Any, model: Model) -> Outcome:
    whole: list[Dataset] = list(images)
    return drive(run(whole, model), model.engine.infer)


@pytest.fixture(scope="module")
def ct() -> Model:
    return load_version(CT, 1, engine_of, Records())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    root = tmp_path_factory.mktemp("tiny")
    add_version(root, 1)
    return load_version(root / NAME, 1, engine_of, Records())


@pytest.fixture
def lesion(tmp_path: Path) -> Path:
    shutil.copytree(CT / "validation" / "lesion", tmp_path / "validation" / "lesion")
    return tmp_path / "validation" / "lesion"


@pytest.fixture
def ramp(tmp_path: Path) -> Path:
    return add_version(tmp_path, 1) / "validation" / "ramp"


def rewritten(change: Callable[[dict[str, Any]], None]) -> Change:
    def apply(case: Path) -> None:
        record = json.loads((case / "case.json").read_text())
        change(record)
        (case / "case.json").write_text(json.dumps(record))

    return apply


def finding(**values: Any) -> Change:
    return rewritten(lambda record: record["expected_findings"][0].update(values))


def measured(value: float, code: str = "118565006") -> Change:
    return finding(measurements=[{"code": code, "value": value, "tolerance": 0.1}])


def test_a_series_goes_the_whole_way(ct: Model, lesion: Path) -> None:
    validate(ct, lesion.parent, way)
    (lesion / "series").mkdir()
    shutil.unpack_archive(lesion / "series.zip", lesion / "series")
    rewritten(lambda record: record.update(dicom="series"))(lesion)
    validate(ct, lesion.parent, way)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (finding(category="routine"), "finding 1 is critical, recorded routine"),
        (finding(finding_type="fracture"), "found hyperdensity, recorded fracture"),
        (finding(probability=0.1), r"finding 1 has probability 0\.9\d+, recorded 0\.1"),
        (measured(50), r"118565006 1\d\.\d, recorded 50 ± 0\.1"),
        (measured(1, "1"), "has 1 None, recorded 1"),
        (rewritten(lambda record: record.update(expected_findings=[])), "found hyperdensity, recorded nothing"),
        (rewritten(lambda record: record.pop("expected_findings")), "dicom needs expected_findings"),
        (rewritten(lambda record: record.update(arrays="x.npz")), "either arrays or dicom"),
        (rewritten(lambda record: record.update(dicom="none.zip")), r"none\.zip is no series of DICOM files"),
        (lambda case: (case / "series.zip").write_bytes(b"PK"), r"series\.zip is no series of DICOM files"),
        (lambda case: (case / "case.json").write_text("{"), r"case\.json is wrong"),
    ],
)
def test_findings_that_differ_and_cases_that_are_wrong_are_named(
    ct: Model, lesion: Path, change: Change, problem: str
) -> None:
    change(lesion)
    with pytest.raises(ConfigurationError, match=problem):
        validate(ct, lesion.parent, way)


def test_a_series_that_the_model_cannot_read_is_no_pass(ct: Model, lesion: Path) -> None:
    (lesion / "series").mkdir()
    shutil.unpack_archive(lesion / "series.zip", lesion / "series")
    for file in sorted((lesion / "series").iterdir())[3:]:
        file.unlink()
    rewritten(lambda record: record.update(dicom="series"))(lesion)
    with pytest.raises(ConfigurationError, match="fails at its validation case lesion"):
        validate(ct, lesion.parent, way)


def arrays(**named: Any) -> Change:
    return lambda case: np.savez(case / "expected.npz", **named)


def inputs(**named: Any) -> Change:
    return lambda case: np.savez(case / "inputs.npz", **named)


GRID = (1, 4, 4, 4, 1)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (arrays(out=np.zeros(GRID, np.float32)), r"out deviates by 0\.5, allowed 1e-05"),
        (arrays(out=np.full(GRID, np.nan, np.float32)), "out deviates by nan"),
        (arrays(out=np.zeros(4, np.float32)), r"out has shape \[1, 4, 4, 4, 1\], recorded \[4\]"),
        (arrays(other=np.zeros(GRID)), "there is no array 'out', only other"),
        (inputs(other=np.zeros(GRID, np.float32)), "has the inputs other and the graph in"),
        (lambda case: (case / "inputs.npz").write_bytes(b"x"), r"inputs\.npz cannot be read"),
        (
            rewritten(lambda record: record["expected_counts"][0].update(threshold=0.25, count=99)),
            "32 voxels of out, recorded 99",
        ),
    ],
)
def test_arrays_that_differ_and_arrays_that_are_wrong_are_named(
    tiny: Model, ramp: Path, change: Change, problem: str
) -> None:
    change(ramp)
    with pytest.raises(ConfigurationError, match=problem):
        validate(tiny, ramp.parent, way)


def test_every_so_many_elements_may_be_enough(tiny: Model, ramp: Path) -> None:
    with np.load(ramp / "expected.npz") as stored:
        whole = stored["out"]
    np.savez(ramp / "expected.npz", out=whole[::2, ::2, ::2, ::2, ::2])
    rewritten(lambda record: record["expected_arrays"][0].update(step=2))(ramp)
    validate(tiny, ramp.parent, way)


def test_a_server_that_is_away_says_nothing_about_the_model(ramp: Path, tiny: Model) -> None:
    def away(array: Any) -> Any:
        raise DestinationUnavailable("the server cannot be reached: check it")

    engine = Stub(tiny.engine.inputs(), tiny.engine.outputs(), away)
    with pytest.raises(DestinationUnavailable):
        validate(replace(tiny, engine=engine), ramp.parent, way)


def test_damaged_arrays_are_named(ramp: Path, tiny: Model) -> None:
    path = ramp / "expected.npz"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ConfigurationError, match=r"expected\.npz cannot be read .*restore the validation set"):
        validate(tiny, ramp.parent, way)


def test_a_series_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engines.series_files.MOST_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "series.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.dcm", bytes(1001))
    with pytest.raises(ConfigurationError, match="has 1001 bytes when it is unpacked, and 1000 are allowed"):
        read_series(tmp_path / "series.zip")


@pytest.mark.parametrize("name", ["../inputs.npz", "/tmp/inputs.npz", "..", "other/inputs.npz"])
def test_a_case_names_only_files_of_its_own(ramp: Path, tiny: Model, name: str) -> None:
    rewritten(lambda record: record.update(arrays=name))(ramp)
    with pytest.raises(ConfigurationError, match=r"case\.json is wrong \(arrays"):
        validate(tiny, ramp.parent, way)
