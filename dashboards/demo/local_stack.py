"""The system that the demonstration uses: one that is up already, else one that it starts and ends itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dashboards.demo.failure import DemoFailed
from dashboards.local import stack as stacks
from dashboards.local import supervisor
from dashboards.local.stack import Stack, State
from dashboards.terminal.last_words import starting
from schemas.errors import ScanstreamError
from schemas.settings import ProcessSettings

INTERVAL_S: Final = 0.05
#: The first start fetches Kafka's jars.
START_TIMEOUT_S: Final = 600.0


class LocalStack:
    """A stack that is up, or comes up.

    Attributes
    ----------
    data_dir
        Its state directory.
    ours
        Whether we started it.
    """

    def __init__(self, data_dir: Path, *, ours: bool) -> None:
        self.data_dir = data_dir
        self.ours = ours
        self._error: ScanstreamError | None = None
        self._ending: threading.Thread | None = None

    def start(self) -> None:
        """Begin to start it in the background."""
        threading.Thread(target=self._start, name="start-stack", daemon=True).start()

    def _start(self) -> None:
        try:
            supervisor.detach(self.data_dir, START_TIMEOUT_S)
        except ScanstreamError as error:
            self._error = error

    def end(self) -> None:
        """Begin to end it in the background."""
        self._ending = threading.Thread(target=supervisor.down, args=(self.data_dir,), name="end-stack")
        self._ending.start()

    def ended(self) -> None:
        """Wait until it has ended; end it when nobody did yet."""
        if self._ending is None:
            supervisor.down(self.data_dir)
        else:
            self._ending.join()

    def wait_for(self, names: Sequence[str] = (), say: Callable[[str], None] = lambda _: None) -> Stack:
        """Wait until these processes work (all of them, when none is named).

        Parameters
        ----------
        names
            Processes.
        say
            Called with what is waited for, again and again.

        Raises
        ------
        DemoFailed
            The stack does not come up.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            now = stacks.read(self.data_dir)
            if now is not None:
                for process in now.refused:
                    raise DemoFailed(
                        "stack",
                        f"{process.name} refuses to start: {process.reason or 'see its log'}",
                        process.name,
                    )
                wanted = [process for process in now.processes if not names or process.name in names]
                if all(process.state in (State.READY, State.DONE) for process in wanted):
                    return now
                say(starting(self.data_dir, now))
            if now is None and not self.ours:
                raise DemoFailed("stack", f"the stack in {self.data_dir} has ended: try again", "supervisor")
            if self._error is not None:
                raise DemoFailed("stack", str(self._error), "supervisor")
            time.sleep(INTERVAL_S)
        raise DemoFailed("stack", f"the stack is not up after {START_TIMEOUT_S:.0f} s", "supervisor")


@contextmanager
def running(data_dir: Path | None, out: Path, *, keep: bool) -> Iterator[LocalStack]:
    """Stack for the length of the block; ended afterwards when we started it and it is not to be kept.

    Parameters
    ----------
    data_dir
        State directory that the person named, if any.
    out
        Folder of the demonstration, for a state directory of our own.
    keep
        Leave it up.
    """
    own = data_dir or out / "state"
    for candidate in (own,) if data_dir else (own, ProcessSettings().data_dir):
        if _is_up(candidate):
            yield LocalStack(candidate, ours=False)
            return
    local = LocalStack(own, ours=True)
    local.start()
    try:
        yield local
    finally:
        if not keep:
            local.ended()


def _is_up(data_dir: Path) -> bool:
    """Whether a stack is up there; one that is ending is waited for."""
    deadline = time.monotonic() + supervisor.STOP_TIMEOUT_S
    while (now := stacks.read(data_dir)) is not None:
        ending = any(process.state in (State.STOPPING, State.STOPPED) for process in now.processes)
        if not ending or time.monotonic() > deadline:
            return True
        time.sleep(INTERVAL_S)
    return False
