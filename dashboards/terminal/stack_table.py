"""State of the local stack → tables for people, plain data for scripts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self

from rich.live import Live
from rich.table import Table
from rich.text import Text

from dashboards.local.stack import Stack, State
from dashboards.terminal.machine import resident_bytes, uptime_s
from dashboards.terminal.output import messages

_STYLES: Final = {
    State.READY: "green",
    State.DONE: "green",
    State.STARTING: "cyan",
    State.RESTARTING: "yellow",
    State.REFUSED: "red",
}


def plain(stack: Stack) -> dict[str, Any]:
    """Everything as plain data, with memory (bytes) and uptime (seconds) of each process."""
    value = dataclasses.asdict(stack)
    for process in value["processes"]:
        process["memory_bytes"] = resident_bytes(process["pid"])
        process["uptime_s"] = uptime_s(process["pid"])
    return value | {"ready": stack.ready}


def processes_table(stack: Stack) -> Table:
    """One row per process."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("process", no_wrap=True)
    table.add_column("state")
    for column in ("pid", "restarts", "uptime", "memory"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("last trouble", overflow="fold")
    for process in stack.processes:
        memory, uptime = resident_bytes(process.pid), uptime_s(process.pid)
        table.add_row(
            process.name,
            Text(process.state.value, style=_STYLES.get(process.state, "")),
            str(process.pid or ""),
            str(process.restarts),
            "" if uptime is None else span(uptime),
            "" if memory is None else f"{memory / 1e6:.0f} MB",
            process.reason or "",
        )
    return table


def endpoints_table(stack: Stack) -> Table:
    """Where the stack answers."""
    there = stack.endpoints
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, address in (
        ("worklist", f"{there.api}/"),
        ("REST", f"{there.api}/studies"),
        ("FHIR", f"{there.api}/fhir"),
        ("DICOM", f"SCANSTREAM at {there.gateway_dimse}"),
        ("DICOMweb", f"{there.gateway_http}/dicom-web"),
        ("Kafka", there.kafka),
        ("ClickHouse", there.clickhouse),
    ):
        table.add_row(name, address)
    return table


def backlog_table(waiting: Sequence[dict[str, object]]) -> Table:
    """What waits where."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("process", "what waits", "of"):
        table.add_column(column, no_wrap=True)
    table.add_column("now", justify="right")
    for row in waiting:
        labels = row["labels"]
        of = ", ".join(labels.values()) if isinstance(labels, dict) else ""
        table.add_row(str(row["process"]), str(row["about"]), of, f"{row['value']:g}")
    return table


def span(seconds: float) -> str:
    """Length of time for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def state_line(stack: Stack) -> Text:
    """The processes in one line, coloured by state."""
    text = Text()
    for process in stack.processes:
        text.append(f"{process.name} ", style=_STYLES.get(process.state, "dim"))
        if process.state not in (State.READY, State.DONE):
            text.append(f"({process.state.value}) ", style="dim")
    return text


class Watch:
    """Shows on standard error how the stack comes up: live on a terminal, else a line per change."""

    def __init__(self) -> None:
        self._console = messages()
        self._live: Live | None = None
        self._said: dict[str, State] = {}
        self._started = datetime.now(UTC)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, transient=True, auto_refresh=False)
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
        if self._live is not None:
            self._live.update(processes_table(stack), refresh=True)
        for process in stack.processes:
            before = self._said.get(process.name)
            if process.state is before:
                continue
            self._said[process.name] = process.state
            if self._live is None and (before is not None or process.state is not State.STARTING):
                seconds = (datetime.now(UTC) - self._started).total_seconds()
                because = f": {process.reason}" if process.reason and process.state is not State.READY else ""
                self._console.print(
                    Text(f"{seconds:6.1f} s  {process.name} {process.state.value}{because}"), soft_wrap=True
                )
