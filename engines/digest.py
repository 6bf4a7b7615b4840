"""Model file → digest of everything that its graph is made of, compared with what its description records.

Of one file it is the file's own SHA-256 (FIPS 180-4). Where the weights lie in files beside it, it is that of the
list that ``sha256sum`` prints for all of them, sorted by name, so that anybody can compute it:
``cd NAME/1 && LC_ALL=C sha256sum model.onnx model.onnx.data | sha256sum``.

Guarantee: no file outside of the folder of the version is part of a model.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from engines.model_info import ModelInfo
from engines.onnx_files import external_files
from schemas.errors import ConfigurationError

_SHOWN: Final = 5


def digest_of(path: Path) -> str:
    """SHA-256 of a model file and of the files that it reads, hexadecimal.

    Raises
    ------
    ConfigurationError
        One of them cannot be read, or lies elsewhere.
    """
    return _digest(path, model_files(path))


def model_files(path: Path) -> tuple[str, ...]:
    """The model file and those that it reads, relative to its folder, sorted.

    Raises
    ------
    ConfigurationError
        The file cannot be read, or one of the others lies elsewhere.
    """
    try:
        names = external_files(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    folder, found = path.parent.resolve(), {path.name}
    for name in names:
        if "\0" in name or not (beside := (folder / name).resolve()).is_relative_to(folder) or beside == folder:
            raise ConfigurationError(
                f"{path} reads {name!r}, which is no file in its folder: put its data beside it and name it so"
            )
        found.add(str(beside.relative_to(folder)))
    return tuple(sorted(found))


def check_digest(path: Path, info: ModelInfo) -> None:
    """Compare a model with what its description records.

    Raises
    ------
    ConfigurationError
        They differ, or a file cannot be read.
    """
    names = model_files(path)
    digest = _digest(path, names)
    if digest == info.sha256:
        return
    about = ""
    if len(names) > 1:
        more = ", …" if len(names) > _SHOWN else ""
        about = f" of {', '.join(names[:_SHOWN])}{more} together (docs/model-repository.md)"
    raise ConfigurationError(
        f"{path} has sha256 {digest}{about} and model_info.json records {info.sha256}: restore the model file"
    )


def _digest(path: Path, names: tuple[str, ...]) -> str:
    if names == (path.name,):
        return _of_file(path)
    lines = (f"{_of_file(path.parent / name)}  {name}\n" for name in names)
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"{path} cannot be read ({error.strerror}): restore the model file")
