"""One process of the stack: started on a leash, its output to its log, its end turned into a decision.

No waiting here: the loop of :mod:`dashboards.local.loop` says when there is something to read or to reap.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dashboards.local import leash
from dashboards.local.logfile import LogFile, sentence_of
from dashboards.local.plan import Program
from dashboards.local.restart import DEFAULT_POLICY, Again, Finished, Never, RestartPolicy, decide
from dashboards.local.stack import ProcessState, State

READ_BYTES: Final = 64 * 1024


class Child:
    """A program and its present run, if any.

    Parameters
    ----------
    program
        What to run.
    environment
        Whole environment of the process.
    logs
        Directory of log files.
    policy
        Numbers of the backoff.
    """

    def __init__(
        self,
        program: Program,
        environment: Mapping[str, str],
        logs: Path,
        policy: RestartPolicy = DEFAULT_POLICY,
    ) -> None:
        self.program = program
        self.state = State.STARTING
        self.due: float | None = None
        self._environment = {**environment, **program.environment}
        self._log = LogFile(logs / f"{program.name}.log", program.name)
        self._policy = policy
        self._popen: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._failures = 0
        self._restarts = 0
        self._reason: str | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return None if self._popen is None else self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether a run was started and not yet reaped."""
        return self._popen is not None

    @property
    def output(self) -> int:
        """File descriptor to read its output from, non-blocking; only while alive."""
        stream = None if self._popen is None else self._popen.stdout
        if stream is None:
            raise ValueError(f"{self.program.name} does not run")
        return stream.fileno()

    def describe(self) -> ProcessState:
        """State for ``stack.json``."""
        return ProcessState(self.program.name, self.state, self.pid, self._restarts, self._reason)

    def start(self, now: float) -> None:
        """Start a run.

        Parameters
        ----------
        now
            Monotonic time, seconds.
        """
        self._restarts += self.state is State.RESTARTING
        self.state, self.due, self._started = State.STARTING, None, now
        self._popen = subprocess.Popen(
            leash.command(self.program.command),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,  # Ctrl-C reaches the supervisor only, which stops everything in order
        )
        os.set_blocking(self.output, False)

    def read(self) -> bool:
        """Move what the process wrote to its log; ``False`` at the end of its output."""
        try:
            data = os.read(self.output, READ_BYTES)
        except BlockingIOError:
            return True
        self._log.feed(data)
        return bool(data)

    def ended(self) -> int | None:
        """Exit code, once, when the run has ended; ``None`` otherwise."""
        if self._popen is None:
            return None
        code = self._popen.poll()
        if code is None:
            return None
        while self._more():
            pass
        self._log.flush()
        if self._popen.stdout is not None:
            self._popen.stdout.close()
        self._popen = None
        return code

    def _more(self) -> bool:
        try:
            data = os.read(self.output, READ_BYTES)
        except BlockingIOError:
            return False  # a process that it left behind still holds the pipe
        self._log.feed(data)
        return bool(data)

    def after_end(self, code: int, now: float, draw: float) -> None:
        """Decide what becomes of a run that ended by itself.

        Parameters
        ----------
        code
            Of :meth:`ended`.
        now
            Monotonic time, seconds.
        draw
            Random number from 0 to 1.
        """
        decision = decide(
            code, now - self._started, self._failures, draw, has_end=self.program.has_end, policy=self._policy
        )
        match decision:
            case Finished():
                self.state = State.DONE
            case Never():
                self.state = State.REFUSED
                self._reason = sentence_of(self._log.last_line)
            case Again(delay_s, failures):
                self.state = State.RESTARTING
                self.due = now + delay_s
                self._failures = failures
                self._reason = reason_of(code, self._log.last_line)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the run, SIGKILL to what it started too."""
        if self._popen is None:
            return
        if number is signal.SIGKILL:
            os.killpg(self._popen.pid, number)
        else:
            self._popen.send_signal(number)

    def close(self) -> None:
        """Close the log."""
        self._log.close()


def reason_of(code: int, last_line: str) -> str:
    """Why a run ended, for people: the signal, or its last words. Pure."""
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    words = sentence_of(last_line) or "it said nothing"
    return f"ended with code {code}: {words}"
