"""How long each stage of a run took, by the clock given."""

from __future__ import annotations

from collections.abc import Callable

from engines.steps import Advanced
from schemas.events import StageTime, TaskState


class Stages:
    """Times stages one after the other.

    Parameters
    ----------
    clock
        Seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._times: list[StageTime] = []
        self._current: tuple[TaskState, float] | None = None

    def enter(self, state: TaskState) -> Advanced:
        """End the stage before, and begin this one."""
        self._close()
        self._current = (state, self._clock())
        return Advanced(state)

    def finish(self) -> tuple[StageTime, ...]:
        """End the last stage: all of them."""
        self._close()
        return tuple(self._times)

    def _close(self) -> None:
        if self._current is not None:
            state, started = self._current
            self._times.append(StageTime(state.value, round((self._clock() - started) * 1000, 3)))
            self._current = None
