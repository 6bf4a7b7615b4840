"""All processes of the system on this machine: started together, kept alive, stopped in order.

``python -m dashboards.local.supervisor`` runs the stack of ``SCANSTREAM_DATA_DIR``. Guarantee: no process outlives
the supervisor, even when that is killed with SIGKILL, and at most one stack runs in a state directory.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from dashboards.local import stack
from dashboards.local.logfile import BACKUPS, LIMIT_BYTES
from dashboards.local.loop import STAGE_TIMEOUTS_S, Loop
from dashboards.local.plan import Plan, make_plan
from dashboards.local.stack import ProcessState, Stack
from producers.process import EXIT_CONFIGURATION, refuse, sentence_of
from schemas.errors import ConfigurationError, ScanstreamError
from schemas.logs import JsonFormatter, fields
from schemas.settings import ProcessSettings

log = logging.getLogger("dashboards.local.supervisor")  # also when run as __main__

STOP_TIMEOUT_S: Final = sum(STAGE_TIMEOUTS_S)
LOOK_INTERVAL_S: Final = 0.05

OnChange = Callable[[Stack], None]


def up(data_dir: Path, on_change: OnChange | None = None) -> int:
    """Run the stack in the foreground, until SIGTERM or SIGINT. Call it from the main thread.

    Parameters
    ----------
    data_dir
        State directory, one for each stack.
    on_change
        Called with the stack after each change of a process.

    Returns
    -------
    int
        0 when it was told to stop.

    Raises
    ------
    ConfigurationError
        A stack is up there already, the directory cannot be written, or a setting is wrong.
    """
    data_dir = data_dir.absolute()
    with stack.held(data_dir):
        try:
            plan = make_plan(data_dir, os.environ)
        except ValidationError as error:
            raise ConfigurationError(sentence_of(error)) from error
        return run_plan(plan, data_dir, on_change)


def run_plan(plan: Plan, data_dir: Path, on_change: OnChange | None = None) -> int:
    """Run any plan in a state directory that this process holds."""
    logs = data_dir / "logs"
    logs.mkdir(exist_ok=True)
    started = datetime.now(UTC).isoformat(timespec="milliseconds")

    def changed(processes: tuple[ProcessState, ...]) -> None:
        now = Stack(os.getpid(), started, plan.endpoints, processes)
        stack.write(data_dir, now)
        if on_change is not None:
            on_change(now)

    with _own_log(logs / "supervisor.log"):
        log.info("stack starts", extra=fields(data_dir=str(data_dir)))
        Loop(plan, logs, changed).run()
        log.info("stack stopped")
    return 0


@contextmanager
def _own_log(path: Path) -> Iterator[None]:
    """Keep what this package logs in a file of bounded size, whoever runs the supervisor."""
    handler = RotatingFileHandler(path, maxBytes=LIMIT_BYTES, backupCount=BACKUPS, encoding="utf-8")
    handler.setFormatter(JsonFormatter("supervisor"))
    package = logging.getLogger("dashboards.local")
    before = package.level
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(before)
        handler.close()


def detach(data_dir: Path, timeout_s: float = 300.0, on_change: OnChange | None = None) -> Stack:
    """Start the stack in the background and wait until every process is ready or one refuses its configuration.

    Parameters
    ----------
    data_dir
        State directory.
    timeout_s
        Seconds to wait (the first start fetches Kafka).
    on_change
        Called with the stack after each change, while waiting.

    Raises
    ------
    ConfigurationError
        As :func:`up`.
    ScanstreamError
        The supervisor ended, or a process was not ready in time; what runs then goes on running.
    """
    data_dir = data_dir.absolute()
    with stack.held(data_dir):
        pass  # nobody else is there: said here, in the foreground, rather than in a log
    (data_dir / "logs").mkdir(exist_ok=True)
    words = data_dir / "logs" / "supervisor.stderr"
    with words.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "dashboards.local.supervisor"],
            env={**os.environ, "SCANSTREAM_DATA_DIR": str(data_dir), "PYTHONPATH": _search_path()},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    seen: Stack | None = None
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        now = stack.read(data_dir)
        if now is not None and now != seen:
            seen = now
            if on_change is not None:
                on_change(now)
            if now.ready or now.refused:
                return now
        if child.poll() is not None:
            said = words.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["it said nothing"]
            kind = ConfigurationError if child.returncode == EXIT_CONFIGURATION else ScanstreamError
            raise kind(said[-1].removeprefix("scanstream supervisor: "))
        time.sleep(LOOK_INTERVAL_S)
    waiting = [process.name for process in seen.processes if process.state != "ready"] if seen else ["supervisor"]
    raise ScanstreamError(
        f"not ready after {timeout_s:.0f} s: {', '.join(waiting)}; see {data_dir / 'logs'}, "
        "wait longer or end it with scanstream down"
    )


def _search_path() -> str:
    root = str(Path(__file__).parents[2])
    return os.pathsep.join(path for path in (root, os.environ.get("PYTHONPATH", "")) if path)


def down(data_dir: Path, timeout_s: float = STOP_TIMEOUT_S + 10.0) -> bool:
    """Stop the stack of a state directory and wait for its end; ``False`` when none was up.

    After ``timeout_s`` seconds the supervisor is killed, and its processes with it.
    """
    data_dir = data_dir.absolute()
    pid = stack.holder(data_dir)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while stack.holder(data_dir) == pid:
        if time.monotonic() >= deadline:
            os.kill(pid, signal.SIGKILL)
            break
        time.sleep(LOOK_INTERVAL_S)
    return True


def main() -> int:
    """Process ``supervisor``."""
    try:
        return up(ProcessSettings().data_dir)
    except ValidationError as error:
        return refuse("supervisor", sentence_of(error))
    except ConfigurationError as error:
        return refuse("supervisor", str(error))


if __name__ == "__main__":
    sys.exit(main())
