"""Models that were loaded → each closed once, when nothing serves it any more and no task uses it.

Guarantee: a model is never closed under a task, and what it holds (memory of a GPU, a connection) is given back as
soon as it is of no use, not when the interpreter happens to collect it. Usable from any thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from engines.model import Model
from schemas.logs import fields

log = logging.getLogger(__name__)


@dataclass
class _Loaded:
    model: Model
    used_at: float
    users: int = 0
    kept: bool = True


class InUse:
    """Who uses which model, and who did last.

    Parameters
    ----------
    clock
        Monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # by identity: two loads of one version are two engines
        self._loaded: dict[int, _Loaded] = {}

    def add(self, model: Model) -> None:
        """A model was loaded."""
        with self._lock:
            self._loaded[id(model)] = _Loaded(model, self._clock())

    def idle_s(self, model: Model) -> float:
        """Seconds since the last user of a model ended, or since it was loaded; 0 while somebody uses it."""
        with self._lock:
            entry = self._loaded.get(id(model))
            return 0.0 if entry is None or entry.users else self._clock() - entry.used_at

    @contextmanager
    def using(self, model: Model) -> Iterator[bool]:
        """Keep a model open meanwhile; false where it was closed already."""
        with self._lock:
            entry = self._loaded.get(id(model))
            if entry is not None:
                entry.users += 1
        try:
            yield entry is not None
        finally:
            if entry is not None:
                self._give_back(entry)

    def keep_only(self, models: Iterable[Model]) -> None:
        """Close all others, those in use when their last user has ended."""
        wanted = {id(model) for model in models}
        with self._lock:
            for key, entry in self._loaded.items():
                entry.kept = key in wanted
            idle = [entry for entry in self._loaded.values() if not entry.kept and not entry.users]
            for entry in idle:
                del self._loaded[id(entry.model)]
        for entry in idle:
            _close(entry.model)

    def _give_back(self, entry: _Loaded) -> None:
        with self._lock:
            entry.users -= 1
            entry.used_at = self._clock()
            last = not entry.users and not entry.kept
            if last:
                del self._loaded[id(entry.model)]
        if last:
            _close(entry.model)


def _close(model: Model) -> None:
    told = fields(model=model.info.name, version=model.info.version)
    try:
        model.engine.close()
    except Exception:  # whoever ends last is a task, or a look at the repository: neither can do anything about it
        log.exception("model could not be closed", extra=told)
    else:
        log.info("model closed", extra=told)
