"""Folder of one model → its versions as they were read, what is wrong with each, and what each may do.

Guarantee: of two versions of one name only the lower number may be loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from engines.model import Model
from engines.repository import read_info
from engines.rollout import FILE, Rollout
from schemas.errors import ConfigurationError
from schemas.events import VersionState

#: Path below the model's folder, size, time of change.
Stamp = tuple[str, int, int]


@dataclass(frozen=True)
class Slot:
    """One model folder as it was read; ``away`` and ``barred`` are refused for now.

    The server of the first was away; the second the rollout or another version stood in the way of. Neither is
    remembered once something changes.
    """

    stamps: frozenset[Stamp]
    numbers: tuple[int, ...] = ()
    rollout: Rollout | None = None
    serving: int | None = None
    loaded: dict[int, Model] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    away: set[int] = field(default_factory=set)
    barred: set[int] = field(default_factory=set)
    titles: dict[int, tuple[str, str]] = field(default_factory=dict)

    def role(self, number: int) -> VersionState:
        """What a version may do here."""
        if number in self.refused:
            return VersionState.REFUSED
        if number == self.serving:
            return VersionState.SERVING
        rollout = self.rollout
        if rollout is not None and rollout.canary is not None and number == rollout.canary.version:
            return VersionState.CANARY
        if rollout is not None and number in rollout.shadow:
            return VersionState.SHADOW
        return VersionState.STANDBY

    def number_of(self, version: str) -> int | None:
        """Folder of a version that is named by its title, or by that number."""
        titled = [number for number in self.numbers if self.titles.get(number, ("",))[0] == version]
        numbered = [number for number in self.numbers if str(number) == version]
        return next(iter(titled + numbered), None)


def stamps_of(folder: Path) -> frozenset[Stamp]:
    """What changes when a file of the model does."""
    found = set()
    for path in folder.rglob("*"):
        try:
            if path.is_file() and not path.name.startswith("."):
                status = path.stat()
                found.add((str(path.relative_to(folder)), status.st_size, status.st_mtime_ns))
        except OSError:
            continue  # replaced this moment: the next look sees the new one
    return frozenset(found)


def unchanged(number: int, before: frozenset[Stamp], now: frozenset[Stamp]) -> bool:
    """Whether no file that the version depends on changed."""
    return all(
        stamp[0] == FILE or ((top := stamp[0].split("/", 1)[0]).isdecimal() and top != str(number))
        for stamp in before ^ now
    )


def titles_of(folder: Path, numbers: tuple[int, ...]) -> dict[int, tuple[str, str]]:
    """Name and digest of each version whose ``model_info.json`` can be read."""
    found = {}
    for number in numbers:
        try:
            info = read_info(folder, number)
        except ConfigurationError:
            continue  # loading it says why
        found[number] = (info.version, info.sha256)
    return found


def refuse_second_of_a_name(slot: Slot) -> None:
    """Results name a version by its title, so two of one title cannot both be told from it."""
    first: dict[str, int] = {}
    for number, (title, _) in sorted(slot.titles.items()):
        other = first.setdefault(title, number)
        if other != number:
            slot.loaded.pop(number, None)
            slot.barred.add(number)
            slot.refused[number] = (
                f"versions {other} and {number} are both called {title}: "
                f"give {number} a model_info.json of its own with another version"
            )
