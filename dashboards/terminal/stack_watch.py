"""The local stack as it comes up → what a person sees of it on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from dashboards.local.stack import Stack, State
from dashboards.terminal.last_words import starting
from dashboards.terminal.output import messages
from dashboards.terminal.stack_table import processes_table


class Watch:
    """A table that follows every change on a terminal, else one line per change of a process.

    Parameters
    ----------
    data_dir
        State directory of the stack.
    clock
        Seconds that never run backwards.
    """

    def __init__(self, data_dir: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._data_dir = data_dir
        self._clock = clock
        self._began = clock()
        self._console = messages()
        self._live: Live | None = None
        self._stack: Stack | None = None
        self._said: dict[str, State] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(
                console=self._console, transient=True, get_renderable=self._now, refresh_per_second=5
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Show changes from now on as lines."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, stack: Stack) -> None:
        """Take in the stack as it is now."""
        self._stack = stack
        for process in stack.processes:
            before = self._said.get(process.name)
            if process.state is before:
                continue
            self._said[process.name] = process.state
            if self._live is None and (before is not None or process.state is not State.STARTING):
                seconds = self._clock() - self._began
                because = f": {process.reason}" if process.reason and process.state is not State.READY else ""
                self._console.print(
                    Text(f"{seconds:6.1f} s  {process.name} {process.state.value}{because}"), soft_wrap=True
                )

    def _now(self) -> RenderableType:
        if self._stack is None:
            return Text("starting")
        waiting = starting(self._data_dir, self._stack)
        return Group(processes_table(self._stack), Text(f"waiting for {waiting}" if waiting else "", style="dim"))
