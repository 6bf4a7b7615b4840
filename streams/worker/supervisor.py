"""The computing process, kept alive: started, watched, killed when it stands still, and started again.

Guarantee: it is told nothing by two owners, and nothing of one life is heard in the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from producers.process import EXIT_CONFIGURATION
from schemas.errors import ConfigurationError
from schemas.events import ModelIdentity
from schemas.logs import fields
from streams.worker.child.link import ChildLink
from streams.worker.protocol import (
    Abandon,
    Begin,
    Computing,
    Ended,
    FromChild,
    Health,
    Loaded,
    Moved,
    Name,
    ToChild,
    Unreachable,
)

log = logging.getLogger(__name__)

#: Seconds without a word after which a loaded process is taken for dead.
SILENT_S: Final = 60.0
#: How long the last words of a process that ended may take, in seconds.
LAST_WORDS_S: Final = 1.0
#: Pause before a new start: first, and at most.
RESTART_FIRST_S: Final = 0.5
RESTART_LONGEST_S: Final = 30.0
#: A process that lived so long did not end because of how it was started.
GOOD_LIFE_S: Final = 120.0


@dataclass(frozen=True)
class Patience:
    """How long the process may take, in seconds: to load, for a step, and for a step of some models."""

    start_s: float
    step_s: float
    steps_s: Mapping[str, float] = field(default_factory=dict)

    def of(self, model_name: str) -> float:
        """Longest step of a model."""
        return self.steps_s.get(model_name, self.step_s)


@dataclass(frozen=True)
class Died:
    """The process ended, or had to be ended; ``computing`` was what it was at."""

    cause: str
    computing: tuple[Name, ...]


class Supervisor:
    """Owner of the computing process.

    Parameters
    ----------
    start
        Spawns it.
    patience
        How long it may take.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        start: Callable[[], ChildLink],
        patience: Patience,
        clock: Callable[[], float],
    ) -> None:
        self.loaded: Loaded | None = None
        self.health: Health | None = None
        self.restarts = 0
        self._start = start
        self._patience = patience
        self._models: dict[Name, str] = {}
        self._answered: set[Name] = set()
        self._clock = clock
        self._link: ChildLink | None = None
        self._started_at = self._heard_at = self._start_at = 0.0
        self._computing: tuple[Name, ...] = ()
        self._steps: dict[Name, tuple[float, float]] = {}
        self._quick_ends = 0
        self._identities: tuple[ModelIdentity, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether it takes tasks."""
        return self._link is not None and self.loaded is not None

    @property
    def computing(self) -> tuple[Name, ...]:
        """What its step is about."""
        return self._computing

    def identity(self, model_name: str) -> ModelIdentity | None:
        """Identity of the version of a model that serves here, as far as that was ever said."""
        return next((entry for entry in self._identities if entry.name == model_name), None)

    def send(self, message: ToChild) -> None:
        """Tell it something; what a process that is gone is told is lost."""
        if isinstance(message, Begin):
            name = (message.task.task_id, message.task.attempt)
            self._models[name] = message.task.model_name
            self._answered.discard(name)
        elif isinstance(message, Abandon):
            self._models.pop(message.name, None)
        if self._link is not None:
            self._link.send(message)

    def begin(self) -> None:
        """Start it, if it is not running and its time has come."""
        if self._link is None and self._clock() >= self._start_at:
            self._link = self._start()
            self._started_at = self._heard_at = self._clock()

    def listen(self) -> Iterator[FromChild | Died]:
        """What it said since, and last that it ended; starts it when that is due.

        Raises
        ------
        ConfigurationError
            The models or settings are wrong: a restart would not help.
        """
        if self._link is None:
            self.begin()
            return
        link, gone = self._link, not self._link.alive
        # of one that ended, everything that it said is still to be heard
        while (message := link.receive(LAST_WORDS_S if gone else 0)) is not None:
            self._hear(message)
            yield message
        cause = "ended" if gone else self._stands_still()
        if cause is not None:
            yield self._bury(link, cause)

    def close(self) -> None:
        """End it."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _hear(self, message: FromChild) -> None:
        self._heard_at = self._clock()
        match message:
            case Computing(names):
                self._at_work(names)
                for name in self._answered.difference(names):
                    self._models.pop(name, None)
                self._answered.intersection_update(names)
            case Moved(name) if name in self._steps:
                del self._steps[name]
                self._at_work(self._computing)
            case Loaded():
                self.loaded, self._identities = message, message.identities
            case Health():
                self.health = message
            case Ended(name) | Unreachable(name):
                self._answered.add(name)  # what it does beside has the patience of its model too
                self._at_work(tuple(other for other in self._computing if other != name))

    def _stands_still(self) -> str | None:
        now = self._clock()
        if self.loaded is None:
            return "start" if now - self._started_at > self._patience.start_s else None
        if now - self._heard_at > SILENT_S:
            return "silent"
        return "step" if self._stuck() else None

    def _at_work(self, names: tuple[Name, ...]) -> None:
        """Note who computes.

        The process names a task on until another step begins, also one whose step is over and that waits behind a
        step of another. So each has, beside its own time, that of the slowest that it was named with.
        """
        patience = {name: self._patience.of(self._models.get(name, "")) for name in names}
        self._computing = names
        known, self._steps = self._steps, {}
        for name in names:
            since, beside_s = known.get(name, (self._heard_at, 0.0))
            slowest_s = max((patience[other] for other in names if other != name), default=0.0)
            self._steps[name] = (since, max(beside_s, slowest_s))

    def _stuck(self) -> tuple[Name, ...]:
        """Tasks whose step takes too long, whatever the others do."""
        now = self._clock()
        return tuple(
            name
            for name, (since, beside_s) in self._steps.items()
            if now - since > self._patience.of(self._models.get(name, "")) + beside_s
        )

    def _bury(self, link: ChildLink, cause: str) -> Died:
        # of a step that takes too long those are to blame that stand still, and nobody beside them
        computing = self._stuck() if cause == "step" else self._computing
        if cause != "ended":
            link.kill()
        code = link.exitcode
        link.close()
        if code == EXIT_CONFIGURATION and self.loaded is None:
            raise ConfigurationError(
                "no model can serve on this node: see the sentence of the computing process above"
            )
        log.warning("computing process lost", extra=fields(cause=cause, exit_code=code, tasks=len(computing)))
        lived_s = self._clock() - self._started_at
        self._quick_ends = 0 if lived_s > GOOD_LIFE_S else self._quick_ends + 1
        pause_s = min(RESTART_FIRST_S * 2 ** max(self._quick_ends - 1, 0), RESTART_LONGEST_S)
        self._start_at = self._clock() + pause_s
        self._link, self.loaded, self.health, self._computing = None, None, None, ()
        self._models.clear()
        self._answered.clear()
        self._steps.clear()
        self.restarts += 1
        return Died(cause, computing)
