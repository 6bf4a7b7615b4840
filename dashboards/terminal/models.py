"""Model repository → rows for ``scanstream models``; what a person calls a version → its folder.

Reads files only: it says what the repository asks for. What a node made of it, its heartbeat says.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engines.model_info import ModelInfo
from engines.repository import names, read_info, versions
from engines.rollout import Rollout, read_rollout
from schemas.errors import ConfigurationError


@dataclass(frozen=True)
class VersionRow:
    """One version as the repository describes it; ``problem`` says why it can never serve."""

    name: str
    number: int
    version: str | None
    role: str
    share: float | None
    sha256: str | None
    licence: str | None
    intended_use: str | None
    problem: str | None


def rows(root: Path) -> list[VersionRow]:
    """Every version of every model.

    Raises
    ------
    ConfigurationError
        There is no model in this folder.
    """
    return [row for name in names(root) for row in _rows_of(root / name)]


def folder_of(root: Path, name: str) -> Path:
    """Folder of a model.

    Raises
    ------
    ConfigurationError
        There is none of this name; the message names those there are.
    """
    known = names(root)
    if name not in known:
        raise ConfigurationError(f"no model is called {name!r}: {root} holds {', '.join(known)}")
    return root / name


def number_of(folder: Path, version: str) -> int:
    """Folder number of a version that a person names by number or by its version in ``model_info.json``.

    Raises
    ------
    ConfigurationError
        There is none of this name.
    """
    there = versions(folder)
    if version.isdecimal() and int(version) in there:
        return int(version)
    titles = {number: _title(folder, number) for number in there}
    for number, title in titles.items():
        if title == version:
            return number
    known = ", ".join(f"{number} ({title})" if title else str(number) for number, title in titles.items())
    raise ConfigurationError(f"model {folder.name} has no version {version!r}: there are {known}")


def _rows_of(folder: Path) -> list[VersionRow]:
    try:
        there = versions(folder)
    except ConfigurationError as error:
        return [VersionRow(folder.name, 0, None, "refused", None, None, None, None, str(error))]
    rollout, problem = None, None
    try:
        rollout = read_rollout(folder, there)
    except ConfigurationError as error:
        problem = str(error)
    return [_row(folder, number, rollout, problem) for number in there]


def _row(folder: Path, number: int, rollout: Rollout | None, problem: str | None) -> VersionRow:
    info: ModelInfo | None = None
    try:
        info = read_info(folder, number)
    except ConfigurationError as error:
        problem = str(error)
    role, share = _role(rollout, number)
    return VersionRow(
        name=folder.name,
        number=number,
        version=info.version if info else None,
        role=role,
        share=share,
        sha256=info.sha256 if info else None,
        licence=info.licence if info else None,
        intended_use=info.intended_use if info else None,
        problem=problem,
    )


def _role(rollout: Rollout | None, number: int) -> tuple[str, float | None]:
    if rollout is None:
        return "unknown", None
    if number == rollout.serving:
        return "serving", None
    if rollout.canary is not None and number == rollout.canary.version:
        return "canary", rollout.canary.share
    if number in rollout.shadow:
        return "shadow", None
    return ("previous" if number == rollout.previous else "standby"), None


def _title(folder: Path, number: int) -> str | None:
    try:
        return read_info(folder, number).version
    except ConfigurationError:
        return None
