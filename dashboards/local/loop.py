"""The supervisor's loop: sleeps until a child speaks, is ready or ends, a restart is due, or a signal comes.

One thread, no polling: an idle stack costs the supervisor no CPU. Stopping goes through the same loop, stage after
stage, so that output is read and ends are noticed until the last process is gone.
"""

from __future__ import annotations

import logging
import random
import selectors
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dashboards.local.child import Child
from dashboards.local.plan import Plan
from dashboards.local.restart import DEFAULT_POLICY, RestartPolicy
from dashboards.local.stack import ProcessState, State
from schemas.logs import fields

log = logging.getLogger(__name__)

#: Seconds that each stage of stopping may take before SIGKILL; 30 s in all.
STAGE_TIMEOUTS_S: Final = (12.0, 6.0, 12.0)


class Loop:
    """Runs the programs of a plan until SIGTERM or SIGINT.

    Parameters
    ----------
    plan
        What to start.
    logs
        Directory of log files.
    changed
        Called after each change with the state of every process.
    policy
        Numbers of the backoff.
    stage_timeouts_s
        Seconds that each stage of stopping may take.
    clock, draw
        Monotonic time in seconds; random numbers from 0 to 1.
    """

    def __init__(
        self,
        plan: Plan,
        logs: Path,
        changed: Callable[[tuple[ProcessState, ...]], None],
        policy: RestartPolicy = DEFAULT_POLICY,
        stage_timeouts_s: tuple[float, ...] = STAGE_TIMEOUTS_S,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._changed = changed
        self._stage_timeouts_s = stage_timeouts_s
        self._clock = clock
        self._draw = draw
        self._selector = selectors.DefaultSelector()
        self._signals = 0
        self._stage: int | None = None
        self._deadline: float | None = None
        self._described: tuple[ProcessState, ...] = ()
        self._runtime = Path(tempfile.mkdtemp(prefix="scanstream-"))  # paths of sockets must be short
        environment = {**plan.environment, "NOTIFY_SOCKET": str(self._runtime / "notify")}
        self._children = [Child(program, environment, logs, policy) for program in plan.programs]

    def run(self) -> None:
        """Start everything; return when everything has ended after a signal. Main thread only."""
        with self._wakeups(), self._notifications():
            try:
                for child in self._children:
                    self._start(child)
                self._report()
                while not self._finished():
                    self._turn()
                    self._report()
            finally:
                self._kill_all()

    def _finished(self) -> bool:
        return self._stage is not None and not any(child.alive for child in self._children)

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._timeout()):
            key.data()
        self._reap()
        if self._signals and self._stage is None:
            self._begin_stage(0)
        elif self._signals > 1:  # told twice: whoever waits has no patience for an orderly end
            self._deadline = self._clock()
        if self._stage is None:
            self._start_due()
        else:
            self._advance()

    def _timeout(self) -> float | None:
        """Seconds until something is due, ``None`` when only an event can bring work."""
        moments = [child.due for child in self._children if child.due is not None]
        if self._deadline is not None:
            moments.append(self._deadline)
        return max(0.0, min(moments) - self._clock()) if moments else None

    def _start(self, child: Child) -> None:
        child.start(self._clock())
        self._selector.register(child.output, selectors.EVENT_READ, lambda: self._read(child))

    def _read(self, child: Child) -> None:
        if child.alive and not child.read():
            self._selector.unregister(child.output)

    def _reap(self) -> None:
        for child in self._children:
            if not child.alive:
                continue
            output, pid = child.output, child.pid
            code = child.ended()
            if code is None:
                continue
            if output in self._selector.get_map():
                self._selector.unregister(output)
            if self._stage is not None:
                child.state = State.STOPPED
                continue
            child.after_end(code, self._clock(), self._draw())
            said = fields(name=child.program.name, pid=pid, code=code, reason=child.describe().reason)
            if child.state is State.DONE:
                log.info("process did its work", extra=said)
            else:
                log.warning("process ended", extra=said)

    def _start_due(self) -> None:
        now = self._clock()
        for child in self._children:
            if child.due is not None and child.due <= now:
                self._start(child)
                log.info("process started again", extra=fields(name=child.program.name, pid=child.pid))

    def _begin_stage(self, stage: int) -> None:
        if stage == 0:
            log.info("stopping")
        self._stage = stage
        self._deadline = self._clock() + self._stage_timeouts_s[stage]
        for child in self._children:
            child.due = None  # nothing is started again from now on
            if child.alive and child.program.stop_stage == stage:
                child.state = State.STOPPING
                child.signal(signal.SIGTERM)

    def _advance(self) -> None:
        """Go on to the next stage when this one has ended; end what did not in time."""
        stage = self._stage or 0
        late = [child for child in self._children if child.alive and child.program.stop_stage == stage]
        if not late:
            if stage + 1 < len(self._stage_timeouts_s):
                self._begin_stage(stage + 1)
        elif self._deadline is not None and self._clock() >= self._deadline:
            for child in late:
                log.warning("killed, because it did not stop in time", extra=fields(name=child.program.name))
                child.signal(signal.SIGKILL)
            self._deadline = self._clock() + self._stage_timeouts_s[stage]

    def _report(self) -> None:
        described = tuple(child.describe() for child in self._children)
        if described != self._described:
            self._described = described
            self._changed(described)

    def _kill_all(self) -> None:
        """Leave nothing behind, whatever happened here."""
        for child in self._children:
            child.signal(signal.SIGKILL)
        while any(child.alive for child in self._children):
            for child in self._children:
                child.ended()
            time.sleep(0.01)
        for child in self._children:
            child.close()
        self._selector.close()
        shutil.rmtree(self._runtime, ignore_errors=True)

    @contextmanager
    def _wakeups(self) -> Iterator[None]:
        """Signals wake the loop; handlers and wake-up descriptor are put back at the end."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        self._selector.register(reader, selectors.EVENT_READ, lambda: reader.recv(4096))

        def told_to_stop(*_: object) -> None:
            self._signals += 1

        def child_ended(*_: object) -> None:
            """Nothing to do: the byte on the wake-up descriptor is what matters."""

        handlers = {signal.SIGTERM: told_to_stop, signal.SIGINT: told_to_stop, signal.SIGCHLD: child_ended}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        descriptor = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(descriptor)
            for number, handler in before.items():
                signal.signal(number, handler)
            reader.close()
            writer.close()

    @contextmanager
    def _notifications(self) -> Iterator[None]:
        """Receive ``READY=1`` of the children (sd_notify protocol)."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.bind(str(self._runtime / "notify"))
            channel.setblocking(False)
            self._selector.register(channel, selectors.EVENT_READ, lambda: self._notified(channel.recv(4096)))
            yield

    def _notified(self, message: bytes) -> None:
        rows = dict(line.partition("=")[::2] for line in message.decode("utf-8", "replace").splitlines())
        for child in self._children:
            if (
                rows.get("READY") == "1"
                and rows.get("MAINPID") == str(child.pid)
                and child.state is State.STARTING
            ):
                child.state = State.READY
                log.info("process is ready", extra=fields(name=child.program.name, pid=child.pid))
