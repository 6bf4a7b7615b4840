"""What runs on this machine, as data: ``<data dir>/stack.json``, written by the supervisor, read by everyone.

Guarantee: readers never see half a file, and a file left behind by a killed supervisor counts as no stack: the
supervisor holds ``<data dir>/stack.lock`` as long as it lives.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Final

from schemas.errors import ConfigurationError

LOCK_ATTEMPTS: Final = 10


class State(StrEnum):
    """State of one process."""

    STARTING = "starting"
    READY = "ready"
    DONE = "done"  # did what it is for and ended, such as creating topics
    RESTARTING = "restarting"  # ended by itself; waits for its next start
    REFUSED = "refused"  # wrong configuration: not started again, ``reason`` is its sentence
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True)
class ProcessState:
    """One process of the stack.

    Attributes
    ----------
    name
        Such as ``writer-stow``.
    state
        As of the last change.
    pid
        Process id, ``None`` while it does not run.
    restarts
        How often it was started again since the stack came up.
    reason
        Why it last ended by itself, one sentence; ``None`` when it never did.
    """

    name: str
    state: State = State.STARTING
    pid: int | None = None
    restarts: int = 0
    reason: str | None = None


@dataclass(frozen=True)
class Endpoints:
    """Where the stack answers.

    Attributes
    ----------
    kafka
        Bootstrap servers, ``host:port``.
    gateway_dimse
        DICOM C-STORE and C-ECHO, ``host:port``.
    gateway_http
        Root URL of the gateway; DICOMweb is under ``/dicom-web``.
    api
        Root URL of the API; FHIR is under ``/fhir``.
    clickhouse
        Root URL of ClickHouse's HTTP interface, without credentials.
    metrics
        Process name → URL of its Prometheus metrics.
    """

    kafka: str
    gateway_dimse: str
    gateway_http: str
    api: str
    clickhouse: str
    metrics: dict[str, str]


@dataclass(frozen=True)
class Stack:
    """A running stack.

    Attributes
    ----------
    pid
        Of the supervisor.
    started
        When it came up, ISO 8601.
    endpoints
        Where it answers.
    processes
        In the order of data flow.
    """

    pid: int
    started: str
    endpoints: Endpoints
    processes: tuple[ProcessState, ...]

    @property
    def ready(self) -> bool:
        """Whether every process does its work."""
        return all(process.state in (State.READY, State.DONE) for process in self.processes)

    @property
    def refused(self) -> tuple[ProcessState, ...]:
        """Processes that do not start because of their configuration."""
        return tuple(process for process in self.processes if process.state is State.REFUSED)

    def process(self, name: str) -> ProcessState:
        """State of one process.

        Raises
        ------
        KeyError
            The stack has no such process.
        """
        return {process.name: process for process in self.processes}[name]


def path_of(data_dir: Path) -> Path:
    """File that describes the stack of a state directory."""
    return data_dir / "stack.json"


def read(data_dir: Path) -> Stack | None:
    """The stack that runs in a state directory, or ``None``."""
    if holder(data_dir) is None:
        return None
    try:
        return _from_plain(json.loads(path_of(data_dir).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None  # it has just begun, or has just ended


def write(data_dir: Path, stack: Stack) -> None:
    """Replace the description of the stack, at once."""
    temporary = data_dir / f".stack.json.{os.getpid()}"
    temporary.write_text(json.dumps(dataclasses.asdict(stack), indent=1) + "\n", encoding="utf-8")
    temporary.replace(path_of(data_dir))


@contextmanager
def held(data_dir: Path) -> Iterator[None]:
    """Hold a state directory for one supervisor; at the end the description of the stack is gone.

    Raises
    ------
    ConfigurationError
        A stack is up there already, or the directory cannot be written.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        stream = _lock_file(data_dir).open("a+", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"{data_dir} cannot be written ({error.strerror}): set SCANSTREAM_DATA_DIR to a directory of yours"
        ) from error
    with stream:
        if not any(_lock_soon(stream)):
            stream.seek(0)
            raise ConfigurationError(
                f"the stack in {data_dir} is already up (process id {stream.read().strip() or 'unknown'}): "
                "look at it with scanstream status, end it with scanstream down"
            )
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        try:
            yield
        finally:
            path_of(data_dir).unlink(missing_ok=True)


def holder(data_dir: Path) -> int | None:
    """Process id of the supervisor that holds a state directory, ``None`` when there is none."""
    try:
        with _lock_file(data_dir).open("r", encoding="utf-8") as stream:
            if _lock(stream, fcntl.LOCK_SH):
                return None
            text = stream.read()
    except FileNotFoundError:
        return None
    return int(text) if text.isdigit() else None  # it has just begun


def _lock_soon(stream: IO[str]) -> Iterator[bool]:
    """Try for a moment: a reader holds the lock for an instant to see whether somebody else does."""
    for _ in range(LOCK_ATTEMPTS):
        yield _lock(stream)
        time.sleep(0.02)


def _lock_file(data_dir: Path) -> Path:
    return data_dir / "stack.lock"


def _lock(stream: IO[str], kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(stream, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _from_plain(plain: dict[str, Any]) -> Stack:
    processes = [ProcessState(**{**process, "state": State(process["state"])}) for process in plain["processes"]]
    return Stack(plain["pid"], plain["started"], Endpoints(**plain["endpoints"]), tuple(processes))
