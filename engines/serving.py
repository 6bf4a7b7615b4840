"""Model repository → which version answers a task, on this node, now.

A folder that is dropped in or a new ``rollout.json`` is taken up by :meth:`Serving.reload`. Guarantee: only a
version that passed its own validation here is ever chosen; where the serving one did not, the previous one serves
and the state of the other says why.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from engines.model import Model
from engines.records import Records
from engines.repository import EngineFactory, load_version, names, read_info, versions
from engines.rollout import FILE, Rollout, is_canary, read_rollout
from schemas.errors import ConfigurationError, DestinationUnavailable, InvalidMessage, TransientFailure
from schemas.events import ModelState, VersionState
from schemas.logs import fields

log = logging.getLogger(__name__)

_NO_DIGEST: Final = ""

#: Path below the model's folder, size, time of change.
_Stamp = tuple[str, int, int]


@dataclass(frozen=True)
class Choice:
    """The version that answers a task; ``role`` is standby for a pinned version that has no other."""

    model: Model
    role: VersionState


@dataclass(frozen=True)
class _Slot:
    """One model folder as it was read; ``away`` and ``barred`` are refused for now.

    The server of the first was away; the second the rollout or another version stood in the way of. Neither is
    remembered once something changes.
    """

    stamps: frozenset[_Stamp]
    numbers: tuple[int, ...] = ()
    rollout: Rollout | None = None
    serving: int | None = None
    loaded: dict[int, Model] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    away: set[int] = field(default_factory=set)
    barred: set[int] = field(default_factory=set)
    titles: dict[int, tuple[str, str]] = field(default_factory=dict)

    def role(self, number: int) -> VersionState:
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


class Serving:
    """Versions that are ready on this node; made by :func:`open_repository`. Usable from any thread.

    Parameters
    ----------
    root
        Model repository.
    engine_of
        Makes the engine of a model file.
    records
        What passed its validation on this node before.
    """

    def __init__(self, root: Path, engine_of: EngineFactory, records: Records) -> None:
        self._root = root
        self._engine_of = engine_of
        self._records = records
        self._slots: dict[str, _Slot] = {}
        self._reloading = threading.Lock()

    def names(self) -> tuple[str, ...]:
        """Models of the repository."""
        return tuple(sorted(self._slots))

    def choose(self, task_id: str, model_name: str, pinned_version: str | None = None) -> Choice:
        """The version that answers a task; the same task gets the same one until the rollout changes.

        Parameters
        ----------
        task_id
            Decides whether the task is of the canary's share.
        model_name
            Which model.
        pinned_version
            ``version`` of ``model_info.json``, or the number of the folder; ``None`` leaves it to the rollout.

        Raises
        ------
        InvalidMessage
            There is no such model or version; the message names those there are.
        TransientFailure
            It cannot serve on this node; another one may.
        """
        slot = self._slots.get(model_name)
        if slot is None:
            raise InvalidMessage(
                f"no model is called {model_name!r}: this node has {', '.join(sorted(self._slots)) or 'none'}"
            )
        if pinned_version is not None:
            return self._pinned(model_name, slot, pinned_version)
        canary = slot.rollout.canary if slot.rollout is not None else None
        if canary is not None and canary.version in slot.loaded and is_canary(task_id, canary.share):
            return Choice(slot.loaded[canary.version], VersionState.CANARY)
        if slot.serving is None:
            reasons = "; ".join(slot.refused[number] for number in sorted(slot.refused))
            raise TransientFailure(
                f"no version of {model_name} can serve on this node ({reasons or 'none was promoted yet'})"
            )
        return Choice(slot.loaded[slot.serving], VersionState.SERVING)

    def shadows(self, model_name: str) -> tuple[Model, ...]:
        """Versions that run unseen beside the one that answers."""
        slot = self._slots.get(model_name)
        if slot is None or slot.rollout is None:
            return ()
        return tuple(
            slot.loaded[number]
            for number in slot.rollout.shadow
            if number in slot.loaded and number != slot.serving
        )

    def states(self) -> tuple[ModelState, ...]:
        """Every version of every model, by name and number."""
        found = []
        for name, slot in sorted(self._slots.items()):
            for number in slot.numbers or tuple(slot.refused):
                version, sha256 = slot.titles.get(number, (str(number), _NO_DIGEST))
                found.append(ModelState(name, version, sha256, slot.role(number), slot.refused.get(number)))
        return tuple(found)

    def reload(self) -> bool:
        """Look at the repository again; cheap when nothing changed, and what serves goes on meanwhile.

        Returns
        -------
        bool
            Whether anything changed: say :meth:`states` again.
        """
        with self._reloading:
            before = self._slots
            try:
                present = names(self._root)
            except ConfigurationError:
                present = []
            slots = {name: self._slot(name, before.get(name)) for name in present}
            self._slots = slots
            return slots.keys() != before.keys() or any(slots[name] is not before[name] for name in slots)

    def _slot(self, name: str, before: _Slot | None) -> _Slot:
        folder = self._root / name
        stamps = _stamps(folder)
        if before is not None and before.stamps == stamps:
            return self._again(folder, before)
        try:
            numbers = versions(folder)
        except (ConfigurationError, OSError) as error:
            log.warning("model refused", extra=fields(model=name, reason=str(error)))
            return _Slot(stamps, refused={0: str(error)})
        slot = _Slot(stamps, numbers, titles=_titles(folder, numbers))
        for number in numbers:
            if before is not None and _unchanged(number, before.stamps, stamps):
                slot.loaded.update({number: before.loaded[number]} if number in before.loaded else {})
                if number in before.refused and number not in before.away | before.barred:
                    slot.refused[number] = before.refused[number]
        try:
            rollout = read_rollout(folder, numbers)
        except ConfigurationError as error:
            return _with_unreadable_rollout(name, slot, before, str(error))
        return self._filled(folder, slot, rollout)

    def _again(self, folder: Path, before: _Slot) -> _Slot:
        """What could not be loaded while a server was away, tried again; the same slot where nothing changes."""
        wanted = before.rollout.serving if before.rollout is not None else None
        # a task that named the version may have loaded it meanwhile
        loaded_since = before.serving != wanted and wanted in before.loaded
        if before.rollout is None or not (before.away or loaded_since):
            return before
        slot = replace(before, loaded=dict(before.loaded), refused=dict(before.refused), away=set(before.away))
        filled = self._filled(folder, slot, before.rollout)
        return before if (filled.away, filled.serving) == (before.away, before.serving) else filled

    def _filled(self, folder: Path, slot: _Slot, rollout: Rollout) -> _Slot:
        _refuse_second_of_a_name(slot)
        serving = next(
            (
                number
                for number in (rollout.serving, rollout.previous)
                if number is not None and self._ready(folder, slot, number)
            ),
            None,
        )
        beside = {*rollout.shadow, *((rollout.canary.version,) if rollout.canary is not None else ())}
        for number in sorted(beside):
            self._ready(folder, slot, number)
        # the previous one stays warm where it served until now: a rollback takes no time
        kept = {serving, rollout.previous, *beside}
        loaded = {number: model for number, model in slot.loaded.items() if number in kept}
        return replace(slot, rollout=rollout, serving=serving, loaded=loaded)

    def _ready(self, folder: Path, slot: _Slot, number: int) -> bool:
        """Whether a version may serve, once it has been loaded."""
        if number in slot.loaded:
            return True
        if number in slot.refused and number not in slot.away:
            return False
        try:
            slot.loaded[number] = load_version(folder, number, self._engine_of, self._records)
        except Exception as error:  # noqa: BLE001 - whatever a foreign graph does, the other models go on
            reason = str(error) if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {error}"
            if slot.refused.get(number) != reason:  # a server that stays away is told of once
                log.warning("model refused", extra=fields(model=folder.name, version=number, reason=reason))
            slot.refused[number] = reason
            if isinstance(error, DestinationUnavailable):
                slot.away.add(number)
            else:
                slot.away.discard(number)
            return False
        slot.refused.pop(number, None)
        slot.away.discard(number)
        log.info("model ready", extra=fields(model=folder.name, version=number))
        return True

    def _pinned(self, name: str, slot: _Slot, version: str) -> Choice:
        number = next((number for number in slot.numbers if slot.titles.get(number, ("",))[0] == version), None)
        if number is None and version.isdecimal() and int(version) in slot.numbers:
            number = int(version)
        if number is None:
            known = ", ".join(slot.titles.get(number, (str(number),))[0] for number in slot.numbers)
            raise InvalidMessage(f"model {name} has no version {version!r}: there are {known or 'none'}")
        if number not in slot.loaded:  # one that is there does not wait until a reload has validated another
            with self._reloading:
                # a version on standby is loaded for the first task that asks for it, and stays until a change
                if not self._ready(self._root / name, slot, number):
                    raise TransientFailure(
                        f"version {version} of {name} cannot serve on this node ({slot.refused[number]})"
                    )
        return Choice(slot.loaded[number], slot.role(number))


def open_repository(root: Path, engine_of: EngineFactory, records: Path | None = None) -> Serving:
    """Load, verify and warm up what the rollouts of a repository ask for.

    Parameters
    ----------
    root
        Model repository.
    engine_of
        Makes the engine of a model file, such as :func:`engines.runtimes.engine_of` with its options.
    records
        Folder of this node where passes of validations are remembered; ``None`` validates at every start.

    Raises
    ------
    ConfigurationError
        There is no model, or none that can serve here; the message says why.
    """
    names(root)
    serving = Serving(root, engine_of, Records(records))
    serving.reload()
    states = serving.states()
    if not any(state.state is VersionState.SERVING for state in states):
        reasons = "; ".join(state.reason for state in states if state.reason)
        raise ConfigurationError(f"no model of {root} can serve: {reasons}")
    return serving


def _stamps(folder: Path) -> frozenset[_Stamp]:
    found = set()
    for path in folder.rglob("*"):
        try:
            if path.is_file() and not path.name.startswith("."):
                status = path.stat()
                found.add((str(path.relative_to(folder)), status.st_size, status.st_mtime_ns))
        except OSError:
            continue  # replaced this moment: the next look sees the new one
    return frozenset(found)


def _unchanged(number: int, before: frozenset[_Stamp], now: frozenset[_Stamp]) -> bool:
    """Whether no file that the version depends on changed."""
    return all(
        stamp[0] == FILE or ((top := stamp[0].split("/", 1)[0]).isdecimal() and top != str(number))
        for stamp in before ^ now
    )


def _titles(folder: Path, numbers: tuple[int, ...]) -> dict[int, tuple[str, str]]:
    found = {}
    for number in numbers:
        try:
            info = read_info(folder, number)
        except ConfigurationError:
            continue  # loading it says why
        found[number] = (info.version, info.sha256)
    return found


def _refuse_second_of_a_name(slot: _Slot) -> None:
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


def _with_unreadable_rollout(name: str, slot: _Slot, before: _Slot | None, problem: str) -> _Slot:
    """What served goes on where it can; of a model that is new nothing is guessed."""
    log.warning("rollout not understood", extra=fields(model=name, reason=problem))
    if before is not None and before.serving in slot.loaded:
        return replace(slot, rollout=before.rollout, serving=before.serving)
    refused = dict.fromkeys(slot.numbers, problem)
    return _Slot(slot.stamps, slot.numbers, refused=refused, barred=set(refused), titles=slot.titles)
