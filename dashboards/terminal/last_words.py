"""A process's log file → the last thing that it said: what a person wants to know while it starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from dashboards.local.stack import Stack, State

_TAIL_BYTES: Final = 8192


def log_of(data_dir: Path, process: str) -> Path:
    """Log file of a process of the local stack."""
    return data_dir / "logs" / f"{process}.log"


def last_words(data_dir: Path, process: str) -> str:
    """Text of the last log record; empty when there is none."""
    try:
        with log_of(data_dir, process).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and record.get("event"):
            return str(record["event"])
    return ""


def starting(data_dir: Path, stack: Stack) -> str:
    """What the stack waits for, in one line; empty when everything works."""
    waiting = [process for process in stack.processes if process.state not in (State.READY, State.DONE)]
    if not waiting:
        return ""
    first = waiting[0]
    # `stopped` may be the last word of an earlier run
    said = last_words(data_dir, first.name) if first.state is State.STARTING else first.reason or ""
    names = ", ".join(process.name for process in waiting)
    return f"{names} ({said})" if said not in ("", "stopped", "ready") else names
