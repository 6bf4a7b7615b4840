"""What a person sees while the demonstration runs: what is going on, and the stages as they are reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from dashboards.demo.stages import Reached
from dashboards.demo.tables import stage_table


class Screen:
    """Shows progress live on a terminal, else one line per step.

    Parameters
    ----------
    console
        Where to.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._doing = Spinner("dots", "")
        self._text = ""
        self._stages: Sequence[Reached] = ()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        self.console.print(Text("A real head MR through the whole system", style="bold"))
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Leave the terminal to another display for the length of the block."""
        self._end()
        try:
            yield
        finally:
            self._begin()

    def _begin(self) -> None:
        if self.console.is_terminal:
            live = Live(console=self.console, transient=True, get_renderable=self._now, refresh_per_second=12)
            live.start()
            self._live = live

    def _end(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def doing(self, text: str) -> None:
        """What is going on."""
        if text == self._text:
            return
        self._text = text
        self._doing.update(text=Text(text))
        if self._live is None:
            self.console.print(Text(text), soft_wrap=True)

    def stages(self, known: Sequence[Reached]) -> None:
        """Stages reached so far."""
        if self._live is None:
            said = {stage.name for stage in self._stages}
            for stage in known:
                if stage.name not in said:
                    self.console.print(Text(f"reached: {stage.name}"), soft_wrap=True)
        self._stages = known

    def _now(self) -> RenderableType:
        return Group(stage_table(self._stages), self._doing) if self._stages else self._doing
