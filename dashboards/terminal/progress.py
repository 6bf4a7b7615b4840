"""Progress of a transfer on standard error; nothing at all where nobody looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn

from dashboards.terminal.output import messages


class Bar:
    """Counts files and bytes."""

    def __init__(self, progress: Progress, text: str, total_bytes: int, total_files: int) -> None:
        self._progress = progress
        self._files = 0
        self._task = progress.add_task(text, total=total_bytes, files=0, of=total_files)

    def advance(self, size_bytes: int) -> None:
        """One more file."""
        self._files += 1
        self._progress.update(self._task, advance=size_bytes, files=self._files)


@contextmanager
def transfer(text: str, total_bytes: int, total_files: int) -> Iterator[Bar]:
    """Progress bar for the length of the block."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[files]}/{task.fields[of]}"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
    )
    console = messages()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress, text, total_bytes, total_files)
