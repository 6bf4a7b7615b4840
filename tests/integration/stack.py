"""The whole stack as a person starts it, for tests and benchmarks: processes, free ports, real Kafka."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class LiveStack:
    """A running ``scanstream up``.

    Attributes
    ----------
    data_dir
        State of the stack; ``logs/`` holds one file per process.
    supervisor
        The foreground ``scanstream up`` process.
    """

    data_dir: Path
    supervisor: subprocess.Popen[bytes]

    def description(self) -> dict[str, Any]:
        """What ``stack.json`` says now."""
        loaded: dict[str, Any] = json.loads((self.data_dir / "stack.json").read_text(encoding="utf-8"))
        return loaded

    def endpoint(self, name: str) -> str:
        """One endpoint, such as ``kafka`` or ``gateway_http``."""
        return str(self.description()["endpoints"][name])

    def processes(self) -> dict[str, dict[str, Any]]:
        """State of each process by name."""
        found = self.description()["processes"]
        if isinstance(found, list):
            return {process["name"]: process for process in found}
        return dict(found)

    def kill(self, name: str) -> bool:
        """``kill -9`` of one process; ``False`` when it is just starting again."""
        pid = self.processes()[name].get("pid")
        if not pid:
            return False
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def log_tail(self, lines: int = 15) -> str:
        """Last lines of each log, for a failure message."""
        parts = []
        for path in sorted((self.data_dir / "logs").glob("*.log")):
            parts.append(f"== {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-lines:]))
        return "\n".join(parts)


@contextmanager
def live_stack(
    data_dir: Path, env: Mapping[str, str] | None = None, timeout_s: float = 120
) -> Iterator[LiveStack]:
    """Start everything, wait until each process is ready, stop it by process id at the end."""
    data_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "dashboards.terminal", "up", "--data-dir", str(data_dir)]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("SCANSTREAM_", "KAFKA_"))}
    with (data_dir / "up.out").open("wb") as output:
        supervisor = subprocess.Popen(command, env={**inherited, **(env or {})}, stdout=output, stderr=output)
    stack = LiveStack(data_dir, supervisor)
    try:
        wait_for(lambda: _all_ready(stack), timeout_s, lambda: _why(stack))
        yield stack
    finally:
        supervisor.send_signal(signal.SIGTERM)
        try:
            supervisor.wait(45)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait(10)


def _all_ready(stack: LiveStack) -> bool:
    if stack.supervisor.poll() is not None:
        raise AssertionError(f"scanstream up ended with {stack.supervisor.returncode}\n{_why(stack)}")
    try:
        processes = stack.processes()
    except (FileNotFoundError, KeyError, json.JSONDecodeError):
        return False
    return bool(processes) and all(process["state"] in {"ready", "done"} for process in processes.values())


def _why(stack: LiveStack) -> str:
    said = (stack.data_dir / "up.out").read_text(errors="replace")[-3000:]
    return f"{said}\n{stack.log_tail()}"


def wait_for(condition: Callable[[], bool], timeout_s: float, why: Callable[[], str] = lambda: "") -> float:
    """Wait for a condition and return the seconds it took; fails with the reason after a generous limit."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > timeout_s:
            raise AssertionError(f"not within {timeout_s:.0f} s: {why()}")
        time.sleep(0.1)
    return time.monotonic() - started
