from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engines import repository
from engines.graph import graph_of
from engines.metadata import ModelMetadata, read
from engines.model import Model
from engines.onnx import OnnxEngine
from engines.output_policy import SegmentationOutput
from engines.records import Records
from engines.repository import RELEASED, load_version
from engines.runtimes import engine_of
from schemas import ids
from schemas.errors import ConfigurationError
from schemas.topics import Topic, finding_topic

NAME = "mri-brain-segmentation"


@pytest.fixture(scope="module")
def model() -> Model:
    return load_version(RELEASED / NAME, 1, engine_of, Records())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(RELEASED / NAME, tmp_path / NAME)
    return tmp_path


def test_the_released_model_loads_and_answers_its_validation_case(model: Model) -> None:
    assert NAME in repository.names(RELEASED)
    assert graph_of(model.metadata, model.config).window == (128, 128, 128)
    identity = model.identity()
    assert (identity.name, identity.version) == (NAME, "0.1")
    assert identity.device_uid == ids.dicom_uid("device", NAME, "0.1", identity.sha256)
    assert identity.engine.startswith("onnxruntime ")
    assert isinstance(model.metadata.output, SegmentationOutput)
    assert finding_topic(model.metadata.output.segments[0].finding_type) is Topic.FINDINGS_BRAIN_VOLUME
    assert (RELEASED / NAME / model.info.licence_file).read_text().startswith("MIT License")


def test_codes_are_those_of_the_standard() -> None:
    from pydicom.sr.codedict import codes

    output = read(RELEASED / NAME / "metadata.json", ModelMetadata).output
    assert isinstance(output, SegmentationOutput)
    (segment,) = output.segments
    (measured,) = segment.measurements
    for concept, known in (
        (segment.finding, codes.SCT.Brain),
        (segment.site, codes.SCT.Brain),
        (measured.code, codes.SCT.Volume),
    ):
        assert concept is not None
        assert (concept.value, concept.scheme, concept.meaning) == (known.value, "SCT", known.meaning)


def edit(file: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


def other_case(folder: Path) -> None:
    path = folder / "validation" / "case.npz"
    with np.load(path) as case:
        np.savez(path, **{**case, "probability": case["probability"] + np.float16(0.1)})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda folder: (folder / "1" / "model.onnx").write_bytes(b"other"), "restore the model file"),
        (lambda folder: (folder / "1").rename(folder / "old"), "no version folder"),
        (lambda folder: (folder / "validation" / "case.npz").unlink(), "case.npz is missing"),
        (lambda folder: (folder / "metadata.json").unlink(), "metadata.json cannot be read"),
        (edit("metadata.json", '"threshold": 0.5', '"threshold": 5'), r"output\.segmentation\.threshold"),
        (edit("config.pbtxt", "img_in:0", "other"), "does not describe the input"),
        (edit("config.pbtxt", "[ 1, 128, 128, 128, 1 ]", "[ 1, 64, 64, 64, 1 ]"), "does not describe the input"),
        (
            edit("config.pbtxt", "onnxruntime_onnx", "tensorflow"),
            "platform 'tensorflow', which no runtime here runs",
        ),
        (edit("config.pbtxt", 'name: "mri', 'name: "ct'), "folder's name"),
        (other_case, "does not answer its validation case"),
    ],
)
def test_what_is_not_as_recorded_is_refused(root: Path, change: Callable[[Path], None], problem: str) -> None:
    change(root / NAME)
    with pytest.raises(ConfigurationError, match=problem):
        load_version(root / NAME, repository.versions(root / NAME)[-1], engine_of, Records())


def test_a_file_that_is_no_model_is_refused(root: Path) -> None:
    import hashlib

    info = json.loads((root / NAME / "model_info.json").read_text())
    info["sha256"] = hashlib.sha256(b"not onnx").hexdigest()
    (root / NAME / "1" / "model.onnx").write_bytes(b"not onnx")
    (root / NAME / "model_info.json").write_text(json.dumps(info))
    with pytest.raises(ConfigurationError, match="cannot be loaded by ONNX Runtime"):
        load_version(root / NAME, repository.versions(root / NAME)[-1], engine_of, Records())


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="SCANSTREAM_WORKER_MODEL_REPOSITORY"):
        repository.names(tmp_path)


def test_a_device_that_is_not_there_is_refused() -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ConfigurationError, match="CUDAExecutionProvider"):
        OnnxEngine(RELEASED / NAME / "1" / "model.onnx", device="cuda")
