"""Folder in Triton layout → verified, warm versions of models.

``NAME/config.pbtxt``, ``NAME/metadata.json``, ``NAME/model_info.json``, ``NAME/validation/`` and
``NAME/N/model.onnx`` for each version; ``metadata.json``, ``model_info.json`` and ``validation/`` in ``N/`` go
before those above. Guarantee: a version is used only when its files have the recorded digest, its graph has the
recorded inputs and outputs, and it answers its validation set as recorded, which also warms it up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from pydicom import Dataset

from engines.base import Engine
from engines.config_pbtxt import ModelConfig, model_config
from engines.digest import check_digest
from engines.graph import graph_of
from engines.metadata import ModelMetadata, read
from engines.model import Model
from engines.model_info import ModelInfo
from engines.outcome import Outcome
from engines.pipeline import run
from engines.records import Records, key_of
from engines.steps import drive
from engines.validation import validate, warm_up
from schemas.errors import ConfigurationError

#: The models of this release.
RELEASED: Final = Path(__file__).parent / "models"

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}")

#: Makes the engine of a model file, such as :func:`engines.runtimes.engine_of` with its options; it refuses a
#: configuration that does not describe the graph.
EngineFactory = Callable[[Path, ModelConfig], Engine]


def names(root: Path) -> list[str]:
    """Names of the models in a repository.

    Raises
    ------
    ConfigurationError
        There is no model in this folder.
    """
    found = sorted(path.parent.name for path in root.glob("[!.]*/config.pbtxt"))
    if not found:
        raise ConfigurationError(
            f"{root} holds no model: set SCANSTREAM_WORKER_MODEL_REPOSITORY to a model repository"
        )
    return found


def versions(folder: Path) -> tuple[int, ...]:
    """Numbers of the version folders of a model, the newest last.

    Raises
    ------
    ConfigurationError
        There is none.
    """
    found = {int(path.name) for path in folder.iterdir() if _is_version(path)}
    if not found:
        raise ConfigurationError(f"{folder} has no version folder: add 1/ with the model file")
    return tuple(sorted(found))


def read_info(folder: Path, version: int) -> ModelInfo:
    """Where a version comes from.

    Raises
    ------
    ConfigurationError
        ``model_info.json`` is missing, wrong, or of another model.
    """
    path = nearest(folder, version, "model_info.json")
    info = read(path, ModelInfo)
    if info.name != folder.name:
        raise ConfigurationError(
            f"{path} names the model {info.name!r}: it must be the folder's name {folder.name!r}"
        )
    return info


def version_files(folder: Path, version: int) -> tuple[Path, ...]:
    """Files that a version consists of, its validation set among them, in a stable order."""
    own = folder / str(version)
    found = {
        folder / "config.pbtxt",
        *(nearest(folder, version, name) for name in ("metadata.json", "model_info.json")),
    }
    found.update(path for path in (*own.rglob("*"), *_validation(folder, version).rglob("*")) if path.is_file())
    return tuple(sorted(path for path in found if path.is_file()))


def load_version(folder: Path, version: int, engine_of: EngineFactory, records: Records) -> Model:
    """Load, verify and warm up one version.

    Parameters
    ----------
    folder
        Of the model.
    version
        Number of the version's folder.
    engine_of
        Makes the engine.
    records
        What passed its validation on this node before is not validated again.

    Raises
    ------
    ConfigurationError
        A file is missing or wrong, the model file is not the recorded one, or it does not answer as recorded.
    """
    info = read_info(folder, version)
    metadata = read(nearest(folder, version, "metadata.json"), ModelMetadata)
    config = _config(folder)
    path = folder / str(version) / info.file
    check_digest(path, info)
    engine = engine_of(path, config)
    try:
        graph_of(metadata, config)  # what the metadata declares fits the tensors
        model = Model(info, metadata, config, engine)
        _check_answers(model, folder, version, records)
    except BaseException:
        engine.close()
        raise
    return model


def _check_answers(model: Model, folder: Path, version: int, records: Records) -> None:
    info, engine, cases = model.info, model.engine, _validation(folder, version)
    key = key_of(version_files(folder, version), engine.identity())
    if records.passed(key):
        warm_up(model, cases, _way)
    else:
        validate(model, cases, _way)
        records.keep(key, info.name, info.version, engine.identity())


def _way(images: Sequence[Dataset], model: Model) -> Outcome:
    return drive(run(images, model), model.engine.infer)


def _is_version(path: Path) -> bool:
    return (
        path.name.isdecimal() and path.name.isascii() and str(int(path.name)) == path.name != "0" and path.is_dir()
    )


def nearest(folder: Path, version: int, name: str) -> Path:
    """A file of the version, or the one that all versions share."""
    own = folder / str(version) / name
    return own if own.exists() else folder / name


def _validation(folder: Path, version: int) -> Path:
    return nearest(folder, version, "validation")


def _config(folder: Path) -> ModelConfig:
    path = folder / "config.pbtxt"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read ({error}): restore the model repository") from error
    config = model_config(text, str(path))
    if config.name != folder.name:
        raise ConfigurationError(
            f"{path} names the model {config.name!r}: it must be the folder's name {folder.name!r}"
        )
    return config
