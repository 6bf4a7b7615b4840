"""State of the local stack → tables for people, plain data for scripts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from dashboards.local.stack import Stack, State
from dashboards.terminal.machine import resident_bytes, uptime_s

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
