"""The parent's end of the computing process: spawned, spoken to, and ended by its process id.

A thread writes and a thread reads, so neither :meth:`ChildLink.send` nor ``receive(0)`` ever waits for the child,
be it busy, stopped or gone. Guarantee: what the child said before it ended is still received.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, Protocol

from schemas.settings import WorkerSettings
from streams.worker.protocol import FromChild, ToChild

#: Seconds that the child gets to end after its pipe was closed, before it is killed.
CLOSE_S: Final = 5.0


@dataclass(frozen=True)
class Setup:
    """What the child is told first.

    Attributes
    ----------
    worker
        Model repository, threads, limits.
    node
        Name of this node, for answers.
    log_level
        As of the parent.
    records
        Folder of this node where passed validations are remembered; ``None`` validates at every start.
    """

    worker: WorkerSettings
    node: str
    log_level: str = "INFO"
    records: Path | None = None


class ChildLink(Protocol):
    """What the parent has of the computing process."""

    def send(self, message: ToChild) -> None:
        """Say something; never waits, and what a dead child is told is lost."""
        ...

    def receive(self, timeout_s: float) -> FromChild | None:
        """Next message of the child; ``None`` after the timeout, or at once when it ended and all is read."""
        ...

    @property
    def alive(self) -> bool:
        """Whether the process runs. Of one that ended, :meth:`receive` may still have messages."""
        ...

    @property
    def exitcode(self) -> int | None:
        """As :attr:`subprocess.Popen.returncode`; 78 means that its models or settings are wrong."""
        ...

    def kill(self) -> None:
        """End it at once, such as when it no longer answers."""
        ...

    def close(self) -> None:
        """Tell it to end and wait until it has."""
        ...


def start(setup: Setup) -> ChildLink:
    """Spawn the computing process; it says ``Loaded`` when its models are verified and warm.

    Nothing is forked, so threads of this process do not matter.
    """
    down_read, down_write = os.pipe()
    up_read, up_write = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.worker.child", str(down_read), str(up_write)],
            pass_fds=(down_read, up_write),
            stdin=subprocess.DEVNULL,
            process_group=0,  # a signal for the parent's group is the parent's to handle
        )
    except OSError:
        os.close(down_write)
        os.close(up_read)
        raise
    finally:
        os.close(down_read)
        os.close(up_write)
    link = SpawnedChild(process, Connection(up_read, writable=False), Connection(down_write, readable=False))
    link.put(setup)
    return link


class SpawnedChild:
    """See :class:`ChildLink`.

    Parameters
    ----------
    process
        The child.
    inbound, outbound
        Our ends of its pipes.
    """

    def __init__(self, process: subprocess.Popen[bytes], inbound: Connection, outbound: Connection) -> None:
        self._process = process
        self._inbound = inbound
        self._outbound = outbound
        self._said: SimpleQueue[FromChild | None] = SimpleQueue()
        self._to_say: SimpleQueue[ToChild | Setup | None] = SimpleQueue()
        self._over = False
        threads = ((self._read, "child-says"), (self._write, "to-child"))
        self._threads = [threading.Thread(target=run, name=name, daemon=True) for run, name in threads]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def put(self, message: ToChild | Setup) -> None:
        """Hand a message to the writing thread."""
        self._to_say.put(message)

    def send(self, message: ToChild) -> None:
        """See :class:`ChildLink`."""
        self.put(message)

    def receive(self, timeout_s: float) -> FromChild | None:
        """See :class:`ChildLink`."""
        if self._over:
            return None
        try:
            message = self._said.get(timeout=timeout_s) if timeout_s > 0 else self._said.get_nowait()
        except Empty:
            return None
        self._over = message is None
        return message

    @property
    def alive(self) -> bool:
        """See :class:`ChildLink`."""
        return self._process.poll() is None

    @property
    def exitcode(self) -> int | None:
        """See :class:`ChildLink`."""
        return self._process.poll()

    def kill(self) -> None:
        """See :class:`ChildLink`."""
        self._process.kill()

    def close(self) -> None:
        """See :class:`ChildLink`."""
        self._to_say.put(None)
        try:
            self._process.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(CLOSE_S)

    def _read(self) -> None:
        # a child that is killed in the middle of a message leaves half of it
        with suppress(EOFError, OSError, pickle.UnpicklingError), self._inbound:
            while True:
                self._said.put(self._inbound.recv())
        self._said.put(None)
        self._to_say.put(None)

    def _write(self) -> None:
        with suppress(OSError), self._outbound:
            while (message := self._to_say.get()) is not None:
                self._outbound.send(message)
