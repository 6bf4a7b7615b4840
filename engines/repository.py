"""Folder in Triton layout → loaded, verified, warm models.

``NAME/config.pbtxt``, ``NAME/VERSION/model.onnx``, ``NAME/metadata.json``, ``NAME/model_info.json``,
``NAME/validation/case.npz``. Guarantee: a model is used only when its file has the recorded digest, its graph has
the recorded inputs and outputs, and it answers the validation case as recorded; that run also warms it up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from engines.base import Engine
from engines.config_pbtxt import ModelConfig, TensorSpec, model_config
from engines.metadata import ModelMetadata, read
from engines.model import Model
from engines.model_info import ModelInfo
from schemas.errors import ConfigurationError

#: The models of this release.
RELEASED: Final = Path(__file__).parent / "models"

_PLATFORM: Final = "onnxruntime_onnx"

#: Makes the engine of a model file.
EngineFactory = Callable[[Path], Engine]


def names(root: Path) -> list[str]:
    """Names of the models in a repository.

    Raises
    ------
    ConfigurationError
        There is no model in this folder.
    """
    found = sorted(path.parent.name for path in root.glob("*/config.pbtxt"))
    if not found:
        raise ConfigurationError(
            f"{root} holds no model: set SCANSTREAM_WORKER_MODEL_REPOSITORY to a model repository"
        )
    return found


def load(root: Path, name: str, engine_of: EngineFactory) -> Model:
    """Load, verify and warm up one model.

    Parameters
    ----------
    root
        Model repository.
    name
        Folder of the model in it.
    engine_of
        Makes the engine, such as :class:`engines.onnx.OnnxEngine`.

    Raises
    ------
    ConfigurationError
        A file is missing or wrong, the model file is not the recorded one, or it does not answer as recorded.
    """
    folder = root / name
    info = read(folder / "model_info.json", ModelInfo)
    metadata = read(folder / "metadata.json", ModelMetadata)
    config = _config(folder, name)
    path = newest_version(folder) / info.file
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != info.sha256:
        raise ConfigurationError(
            f"{path} has sha256 {digest} and model_info.json records {info.sha256}: restore the model file"
        )
    engine = engine_of(path)
    _check_graph(folder, "input", config.inputs, engine.inputs())
    _check_graph(folder, "output", config.outputs, engine.outputs())
    _check_shape(folder, config)
    model = Model(info, metadata, config, engine)
    validate(model, folder / "validation" / "case.npz")
    return model


def newest_version(folder: Path) -> Path:
    """Version folder with the highest number (Triton's default version policy).

    Raises
    ------
    ConfigurationError
        There is no version folder.
    """
    versions = [path for path in folder.iterdir() if path.name.isdecimal() and path.is_dir()]
    if not versions:
        raise ConfigurationError(f"{folder} has no version folder: add 1/ with the model file")
    return max(versions, key=lambda path: int(path.name))


def validate(model: Model, case: Path) -> None:
    """Run the validation case and compare.

    Raises
    ------
    ConfigurationError
        The case is missing, or the model does not answer it as recorded.
    """
    if not case.is_file():
        raise ConfigurationError(f"{case} is missing: a model is used only when it can be checked; restore it")
    with np.load(case) as expected:
        volume = expected["volume"].astype(np.float32) / np.float32(expected["volume"].max())
        stored, voxels = expected["probability"].astype(np.float32), int(expected["voxels"])
        tolerance, voxels_tolerance = float(expected["probability_tolerance"]), float(expected["voxels_tolerance"])
    spec = model.config.inputs[0]
    answer = model.engine.infer({spec.name: volume.reshape(spec.dims)})[model.config.outputs[0].name]
    probability = answer.reshape(model.grid)
    deviation = float(np.abs(probability[::8, ::8, ::8] - stored).max())
    found = int(np.count_nonzero(probability >= model.metadata.output.threshold))
    if not (deviation <= tolerance and abs(found - voxels) <= voxels_tolerance * voxels):
        raise ConfigurationError(
            f"model {model.info.name} on {model.engine.identity()} does not answer its validation case as "
            f"recorded (deviation {deviation:.2g}, allowed {tolerance:.2g}; {found} voxels, recorded {voxels}): "
            "use the runtime version of this release"
        )


def _config(folder: Path, name: str) -> ModelConfig:
    path = folder / "config.pbtxt"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error.strerror}): restore the model repository"
        ) from error
    config = model_config(text, str(path))
    if config.name != name:
        raise ConfigurationError(f"{path} names the model {config.name!r}: it must be the folder's name {name!r}")
    if config.platform != _PLATFORM:
        raise ConfigurationError(f"{path} asks for platform {config.platform!r}: only {_PLATFORM!r} can run here")
    return config


def _check_graph(
    folder: Path, kind: str, recorded: tuple[TensorSpec, ...], actual: tuple[TensorSpec, ...]
) -> None:
    if sorted(recorded, key=str) != sorted(actual, key=str):
        raise ConfigurationError(
            f"{folder / 'config.pbtxt'} does not describe the {kind} of the graph, which is "
            f"{', '.join(f'{spec.name} {spec.dtype} {list(spec.dims)}' for spec in actual)}: correct it"
        )


def _check_shape(folder: Path, config: ModelConfig) -> None:
    for spec in (config.inputs[0], config.outputs[0]):
        if len(spec.dims) != 5 or (spec.dims[0], spec.dims[-1]) != (1, 1) or min(spec.dims) < 1:
            raise ConfigurationError(
                f"{folder / 'config.pbtxt'}: {spec.name} must have dims [ 1, x, y, z, 1 ], not {list(spec.dims)}"
            )
    if len(config.inputs) != 1 or len(config.outputs) != 1 or config.inputs[0].dims != config.outputs[0].dims:
        raise ConfigurationError(f"{folder / 'config.pbtxt'} must have one input and one output of the same dims")
