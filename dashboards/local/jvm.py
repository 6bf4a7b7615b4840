"""One child JVM: started on a leash, its words logged, its end noticed at once."""

from __future__ import annotations

import logging
import subprocess
import threading
from collections import deque
from typing import Final

from dashboards.local import leash
from schemas.logs import fields

log = logging.getLogger(__name__)

LAST_LINES: Final = 60


class Jvm:
    """A running Java program.

    Parameters
    ----------
    command
        ``java`` and its arguments.
    ended
        Set when the program ends for whatever reason.
    """

    def __init__(self, command: list[str], ended: threading.Event) -> None:
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._child = subprocess.Popen(
            leash.command(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C in a terminal reaches the parent only, which stops it in order
        )
        self._reader = threading.Thread(target=self._read, args=(ended,), name="jvm-output", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal; ``None`` while it runs."""
        return self._child.poll()

    def tail(self) -> list[str]:
        """Last lines that it wrote; complete once it ended."""
        if self.returncode is not None:
            self._reader.join(timeout=5.0)
        return list(self._lines)

    def stop(self, timeout_s: float) -> None:
        """Ask it to end (SIGTERM), and kill it when it does not within ``timeout_s`` seconds."""
        self._child.terminate()
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            log.warning("killed, because it did not stop in time", extra=fields(pid=self.pid, timeout_s=timeout_s))
            self._child.kill()
            self._child.wait()
        self._reader.join(timeout=5.0)

    def _read(self, ended: threading.Event) -> None:
        for line in self._child.stdout or ():
            self._lines.append(line.rstrip())
            log.debug("jvm says", extra=fields(line=line.rstrip()))
        self._child.wait()
        ended.set()


def run_once(command: list[str], timeout_s: float = 120.0) -> tuple[int, str]:
    """Run a Java program to its end and return its exit code and output."""
    done = subprocess.run(
        leash.command(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
    )
    return done.returncode, done.stdout
