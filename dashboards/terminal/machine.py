"""Process id → memory and age, from /proc; ``None`` where that is not known."""

from __future__ import annotations

import os
from pathlib import Path


def resident_bytes(pid: int | None) -> int | None:
    """Resident memory of a process and of those that it started, in bytes."""
    text = _read(pid, "statm")
    if text is None:
        return None
    own = int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return own + sum(resident_bytes(child) or 0 for child in _children(pid))


def _children(pid: int | None) -> list[int]:
    """Processes that a process started; empty where the kernel does not tell."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in path.read_text(encoding="ascii").split()]
        except OSError:
            continue
    return found


def uptime_s(pid: int | None) -> float | None:
    """Seconds since a process started."""
    text = _read(pid, "stat")
    if text is None:
        return None
    # the command name, in parentheses, may itself hold blanks; field 22 of proc_pid_stat(5) is the start time
    ticks = int(text.rpartition(")")[2].split()[19])
    since_boot = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    return max(0.0, since_boot - ticks / os.sysconf("SC_CLK_TCK"))


def _read(pid: int | None, name: str) -> str | None:
    if pid is None:
        return None
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
