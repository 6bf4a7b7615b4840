"""YAML file of sources → :class:`~producers.poller.sources.Sources`, or a sentence that names field and remedy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr, ValidationError

from producers import strict_yaml
from producers.poller.sources import GetSource, MoveSource, Sources, WebSource
from schemas.errors import ConfigurationError

VARIABLE: Final = "SCANSTREAM_POLLER_SOURCES_FILE"
AnySource = WebSource | MoveSource | GetSource


def load(path: Path | None) -> Sources:
    """Sources of a file.

    Raises
    ------
    ConfigurationError
        There is no file, it cannot be read, or it says something that cannot be.
    """
    if path is None:
        raise ConfigurationError(f"no file of sources is named: set {VARIABLE} to a YAML file")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{VARIABLE} {path} cannot be read ({type(error).__name__}): name a YAML file that this user may read"
        ) from error
    return parse(text, str(path))


def parse(text: str, name: str) -> Sources:
    """Sources of a text; ``name`` is what an error calls it. See :func:`load`."""
    try:
        content = strict_yaml.parse(text)
    except strict_yaml.NotYaml as error:
        raise ConfigurationError(f"{name} is not YAML: {error}; correct it") from error
    try:
        return Sources.model_validate({} if content is None else content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise ConfigurationError(f"{name}: {_place(problem['loc'])}: {_said(problem)}; correct it") from error


def choose(sources: Sources, name: str) -> AnySource:
    """Source of that name.

    Raises
    ------
    ConfigurationError
        There is none.
    """
    try:
        return sources.sources[name]
    except KeyError:
        raise ConfigurationError(
            f"there is no source {name!r} in {VARIABLE}: name one of {', '.join(sorted(sources.sources))}"
        ) from None


def secret(
    variable: str | None, file: Path | None, environment: Mapping[str, str] = os.environ
) -> SecretStr | None:
    """Secret that a source names by a variable or a file; ``None`` when it names neither.

    Raises
    ------
    ConfigurationError
        It is not there.
    """
    if variable is not None:
        if not environment.get(variable):
            raise ConfigurationError(f"the sources file names the environment variable {variable}: set it")
        return SecretStr(environment[variable])
    if file is None:
        return None
    try:
        return SecretStr(file.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the secret's file {file} cannot be read ({type(error).__name__}): name one that this user may read"
        ) from error


_KINDS: Final = ("dicomweb", "c-move", "c-get")


def _place(location: tuple[int | str, ...]) -> str:
    # the branch that the kind chose is no field of the file
    parts = [str(part) for at, part in enumerate(location) if not (at == 2 and part in _KINDS)]
    return ".".join(parts) or "the file"


def _said(problem: Any) -> str:
    match problem["type"]:
        case "extra_forbidden":
            return "there is no such field"
        case "missing":
            return "the field is missing"
        case "union_tag_not_found":
            return f"the field kind is missing, one of {', '.join(_KINDS)}"
        case "union_tag_invalid":
            return f"kind must be one of {', '.join(_KINDS)}"
    return str(problem["msg"]).removeprefix("Value error, ")
