"""Model folder from elsewhere → the next version in a model repository; nothing serves that did not before.

The versions of a model share its ``config.pbtxt``; all else that a new version brings lies in its own folder.
Guarantee: the version appears in one step and complete, or not at all, and its file has the recorded digest.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from engines.config_pbtxt import ModelConfig, model_config
from engines.digest import check_digest
from engines.metadata import ModelMetadata, read
from engines.model_info import ModelInfo
from engines.repository import RELEASED, nearest, read_info, versions
from engines.rollout import FILE, Rollout, newest, write_rollout
from engines.unpack import remove
from schemas.errors import ConfigurationError, InvalidInput, ScanstreamError

_CONFIG: Final = "config.pbtxt"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_DESCRIPTION: Final = ("README.md", "LICENSE")


@dataclass(frozen=True)
class Installed:
    """A version that is in the repository now."""

    name: str
    number: int
    info: ModelInfo
    is_new_model: bool


def install(root: Path, fill: Callable[[Path], None]) -> Installed:
    """Put a version into a repository, on standby.

    Parameters
    ----------
    root
        Model repository; it is made where there is none.
    fill
        Unpacks or copies the model into the empty folder that it is given.

    Raises
    ------
    ConfigurationError
        The repository cannot be changed.
    InvalidInput
        It is no model, or not one that can be the next version here.
    """
    check_writable(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        staging = Path(mkdtemp(prefix=".pull-", dir=root))
    except OSError as error:
        raise ConfigurationError(
            f"{root} cannot be written ({error.strerror}): use a model repository that you may change"
        ) from error
    try:
        (staging / "received").mkdir()
        fill(staging / "received")
        try:
            return _install(root, _model_folder(staging / "received"), staging)
        except ConfigurationError as error:
            raise InvalidInput(str(error).replace(f"{staging / 'received'}/", "")) from error
    finally:
        remove(staging)


def check_writable(root: Path) -> None:
    """Refuse to change the models of the release.

    Raises
    ------
    ConfigurationError
        The repository is that of the release.
    """
    if root.resolve() == RELEASED.resolve():
        raise ConfigurationError(
            f"{root} holds the models of the release and stays as it is: copy it, and name the copy "
            "by --repository or SCANSTREAM_WORKER_MODEL_REPOSITORY"
        )


def _install(root: Path, source: Path, staging: Path) -> Installed:
    config = _config(source)
    if not _NAME.fullmatch(config.name):
        raise InvalidInput(f"{_CONFIG} names the model {config.name!r}: use small letters, digits and hyphens")
    if source.name != config.name:
        (staging / "named").mkdir()
        source = source.rename(staging / "named" / config.name)
    number = versions(source)[-1]
    info = read_info(source, number)
    read(nearest(source, number, "metadata.json"), ModelMetadata)
    check_digest(source / str(number) / info.file, info)
    validation = nearest(source, number, "validation")
    if not validation.is_dir():
        raise InvalidInput(f"{config.name} has no validation/ folder: a model that cannot be checked never serves")
    own = staging / "version"
    shutil.copytree(source / str(number), own, ignore=shutil.ignore_patterns("validation"))
    for name in ("metadata.json", "model_info.json", *_DESCRIPTION):
        if (path := nearest(source, number, name)).is_file():
            shutil.copyfile(path, own / name)
    shutil.copytree(validation, own / "validation")
    folder = root / config.name
    if not folder.exists():
        return _new_model(folder, source, own, staging, info)
    return _next_version(folder, own, info, config)


def _new_model(folder: Path, source: Path, own: Path, staging: Path, info: ModelInfo) -> Installed:
    model = staging / "model"
    model.mkdir()
    for name in (_CONFIG, *_DESCRIPTION):
        if (source / name).is_file():
            shutil.copyfile(source / name, model / name)
    write_rollout(model, Rollout())
    own.rename(model / "1")
    model.rename(folder)
    return Installed(folder.name, 1, info, is_new_model=True)


def _next_version(folder: Path, own: Path, info: ModelInfo, config: ModelConfig) -> Installed:
    there = versions(folder)
    if _config(folder) != config:
        raise InvalidInput(
            f"the {_CONFIG} of {config.name} differs from the one that the versions in the repository share: "
            "give the model another name"
        )
    for number in there:
        known = _info_or_none(folder, number)
        if known is not None and known.sha256 == info.sha256:
            raise InvalidInput(f"version {number} of {config.name} is this file already: promote it")
        if known is not None and known.version == info.version:
            raise InvalidInput(
                f"version {number} of {config.name} is called {info.version} already: "
                "write another version into model_info.json"
            )
    if not (folder / FILE).exists():
        # without a file the newest version serves: what serves now goes on doing so
        write_rollout(folder, newest(there))
    number = there[-1] + 1
    own.rename(folder / str(number))
    return Installed(folder.name, number, info, is_new_model=False)


def _model_folder(received: Path) -> Path:
    found = sorted((path.parent for path in received.rglob(_CONFIG)), key=lambda path: len(path.parts))
    if not found:
        raise InvalidInput(
            f"it holds no {_CONFIG}: give a model folder in Triton layout (docs/model-repository.md)"
        )
    if len(found) > 1:
        raise InvalidInput(f"it holds {len(found)} models: give one at a time")
    return found[0]


def _config(folder: Path) -> ModelConfig:
    path = folder / _CONFIG
    try:
        return model_config(path.read_text(encoding="utf-8"), _CONFIG)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{_CONFIG} cannot be read ({error}): correct the file") from error


def _info_or_none(folder: Path, number: int) -> ModelInfo | None:
    try:
        return read_info(folder, number)
    except ScanstreamError:
        return None
