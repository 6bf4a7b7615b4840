"""Model repository → which version answers a task, on this node, now.

A folder that is dropped in or a new ``rollout.json`` is taken up by :meth:`Serving.reload`. Guarantee: only a
version that passed its own validation here is ever chosen; where the serving one did not, the previous one serves
and the state of the other says why. What no longer serves is closed when the last task that uses it has ended, and
what only tasks had named when none did for a quarter of an hour.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from engines.in_use import InUse
from engines.model import Model
from engines.records import Records
from engines.repository import EngineFactory, load_version, names, versions
from engines.rollout import Rollout, is_canary, read_rollout
from engines.slot import Slot, refuse_second_of_a_name, stamps_of, titles_of, unchanged
from schemas.errors import ConfigurationError, DestinationUnavailable, InvalidMessage, TransientFailure
from schemas.events import ModelState, VersionState
from schemas.logs import fields

log = logging.getLogger(__name__)

_NO_DIGEST: Final = ""

#: So long a version that tasks named stays loaded for the next one, in seconds.
_NAMED_AGAIN_S: Final = 900.0


@dataclass(frozen=True)
class Choice:
    """The version that answers a task; ``role`` is standby for a pinned version that has no other."""

    model: Model
    role: VersionState


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
    clock
        Monotonic, in seconds.
    """

    def __init__(
        self,
        root: Path,
        engine_of: EngineFactory,
        records: Records,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = root
        self._engine_of = engine_of
        self._records = records
        self._slots: dict[str, Slot] = {}
        self._in_use = InUse(clock)
        # one load at a time: it needs memory and cores that tasks need too
        self._reloading = threading.Lock()
        self._loading: dict[tuple[str, int], Future[None]] = {}
        self._asking = threading.Lock()

    def names(self) -> tuple[str, ...]:
        """Models of the repository."""
        return tuple(sorted(self._slots))

    def choose(self, task_id: str, model_name: str, pinned_version: str | None = None) -> Choice:
        """The version that answers a task; the same task gets the same one until the rollout changes.

        Nothing is loaded for it (:meth:`load`), and who runs it takes it (:meth:`take`).

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
            return _pinned(model_name, slot, pinned_version)
        canary = slot.rollout.canary if slot.rollout is not None else None
        if canary is not None and canary.version in slot.loaded and is_canary(task_id, canary.share):
            return Choice(slot.loaded[canary.version], VersionState.CANARY)
        if slot.serving is None:
            reasons = "; ".join(slot.refused[number] for number in sorted(slot.refused))
            raise TransientFailure(
                f"no version of {model_name} can serve on this node ({reasons or 'none was promoted yet'})"
            )
        return Choice(slot.loaded[slot.serving], VersionState.SERVING)

    def load(self, model_name: str, pinned_version: str | None) -> Future[None] | None:
        """Begin to load the version on standby that a task names, in a thread of its own.

        Returns
        -------
        Future
            Done when :meth:`take` gives the version, or says why it cannot; ``None`` when it does so now.
        """
        slot = self._slots.get(model_name)
        number = slot.number_of(pinned_version) if slot is not None and pinned_version is not None else None
        if slot is None or number is None or not _to_load(slot, number):
            return None
        with self._asking:
            known = self._loading.get((model_name, number))
            if known is not None:
                return known
            loading = self._loading[model_name, number] = Future[None]()
        work = threading.Thread(
            target=self._load, args=(model_name, number, loading), name=f"load-{model_name}", daemon=True
        )
        work.start()
        return loading

    @contextmanager
    def take(self, task_id: str, model_name: str, pinned_version: str | None = None) -> Iterator[Choice]:
        """As :meth:`choose`; the model is not closed before this is left."""
        while True:
            choice = self.choose(task_id, model_name, pinned_version)
            with self.using(choice.model) as is_open:
                if is_open:  # else it was replaced this moment, and there is another choice
                    yield choice
                    return

    def using(self, model: Model) -> AbstractContextManager[bool]:
        """Keep a model of :meth:`shadows` open meanwhile; false where it was closed already."""
        return self._in_use.using(model)

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
            try:
                slots = {name: self._without_idle(self._slot(name, before.get(name))) for name in present}
                self._slots = slots
            finally:
                self._close_replaced()
            return slots.keys() != before.keys() or any(slots[name] is not before[name] for name in slots)

    def _load(self, name: str, number: int, loading: Future[None]) -> None:
        try:
            with self._reloading:
                slot = self._slots.get(name)  # another one, where the repository changed meanwhile
                if slot is not None and number in slot.numbers:
                    self._ready(self._root / name, slot, number)
        finally:
            with self._asking:
                del self._loading[name, number]
            loading.set_result(None)

    def _without_idle(self, slot: Slot) -> Slot:
        """Without the versions on standby that nobody has named for long: they hold memory that others need."""
        kept = {
            number: model
            for number, model in slot.loaded.items()
            if slot.role(number) is not VersionState.STANDBY
            or (slot.rollout is not None and number in (slot.rollout.serving, slot.rollout.previous))
            or self._in_use.idle_s(model) < _NAMED_AGAIN_S
        }
        return slot if len(kept) == len(slot.loaded) else replace(slot, loaded=kept)

    def _close_replaced(self) -> None:
        self._in_use.keep_only(model for slot in self._slots.values() for model in slot.loaded.values())

    def _slot(self, name: str, before: Slot | None) -> Slot:
        folder = self._root / name
        stamps = stamps_of(folder)
        if before is not None and before.stamps == stamps:
            return self._again(folder, before)
        try:
            numbers = versions(folder)
        except (ConfigurationError, OSError) as error:
            log.warning("model refused", extra=fields(model=name, reason=str(error)))
            return Slot(stamps, refused={0: str(error)})
        slot = Slot(stamps, numbers, titles=titles_of(folder, numbers))
        for number in numbers:
            if before is not None and unchanged(number, before.stamps, stamps):
                slot.loaded.update({number: before.loaded[number]} if number in before.loaded else {})
                if number in before.refused and number not in before.away | before.barred:
                    slot.refused[number] = before.refused[number]
        try:
            rollout = read_rollout(folder, numbers)
        except ConfigurationError as error:
            return _with_unreadable_rollout(name, slot, before, str(error))
        return self._filled(folder, slot, rollout)

    def _again(self, folder: Path, before: Slot) -> Slot:
        """What could not be loaded while a server was away, tried again; the same slot where nothing changes."""
        wanted = before.rollout.serving if before.rollout is not None else None
        # a task that named the version may have loaded it meanwhile
        loaded_since = before.serving != wanted and wanted in before.loaded
        if before.rollout is None or not (before.away or loaded_since):
            return before
        slot = replace(before, loaded=dict(before.loaded), refused=dict(before.refused), away=set(before.away))
        filled = self._filled(folder, slot, before.rollout)
        return before if (filled.away, filled.serving) == (before.away, before.serving) else filled

    def _filled(self, folder: Path, slot: Slot, rollout: Rollout) -> Slot:
        refuse_second_of_a_name(slot)
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

    def _ready(self, folder: Path, slot: Slot, number: int) -> bool:
        """Whether a version may serve, once it has been loaded."""
        if not _to_load(slot, number):
            return number in slot.loaded
        try:
            model = load_version(folder, number, self._engine_of, self._records)
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
        self._in_use.add(model)
        slot.loaded[number] = model
        slot.refused.pop(number, None)
        slot.away.discard(number)
        log.info("model ready", extra=fields(model=folder.name, version=number))
        return True


def _pinned(name: str, slot: Slot, version: str) -> Choice:
    number = slot.number_of(version)
    if number is None:
        known = ", ".join(slot.titles.get(number, (str(number),))[0] for number in slot.numbers)
        raise InvalidMessage(f"model {name} has no version {version!r}: there are {known or 'none'}")
    if number not in slot.loaded:
        reason = slot.refused.get(number, "the repository changed while it was loaded")
        raise TransientFailure(f"version {version} of {name} cannot serve on this node ({reason})")
    return Choice(slot.loaded[number], slot.role(number))


def _to_load(slot: Slot, number: int) -> bool:
    """Whether a version that is not loaded may be, for all that is known."""
    return number not in slot.loaded and (number not in slot.refused or number in slot.away)


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


def _with_unreadable_rollout(name: str, slot: Slot, before: Slot | None, problem: str) -> Slot:
    """What served goes on where it can; of a model that is new nothing is guessed."""
    log.warning("rollout not understood", extra=fields(model=name, reason=problem))
    if before is not None and before.serving in slot.loaded:
        return replace(slot, rollout=before.rollout, serving=before.serving)
    refused = dict.fromkeys(slot.numbers, problem)
    return Slot(slot.stamps, slot.numbers, refused=refused, barred=set(refused), titles=slot.titles)
