"""Exit code and last words of Kafka's JVM → one sentence with the remedy. Pure, but for reading the log's end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from schemas.settings import BrokerSettings

_MEMORY = re.compile(
    r"OutOfMemoryError|heap space|Too small|Could not reserve|Initial heap size|maximum heap size"
)
_NETWORK = re.compile(r"Address already in use|Socket server failed to bind")
_LOCKED = re.compile(r"Failed to acquire lock")
_SPACE = re.compile(r"No space left on device")
_THROWN = re.compile(r"\b([\w.]+(?:Exception|Error)): (.+)")


def sentence(returncode: int | None, lines: Sequence[str], settings: BrokerSettings, log_file: Path) -> str:
    """Why Kafka ended.

    Parameters
    ----------
    returncode
        Of the JVM; negative for a signal.
    lines
        Last lines of its output.
    settings
        Ports and heap, named in the remedy.
    log_file
        Kafka's own log; its last lines are read too.
    """
    text = "\n".join([*_last_lines(log_file), *lines])
    ports = f"{settings.port} and {settings.controller_port}"
    if _MEMORY.search(text):
        return f"the Java heap of {settings.heap} is too small for Kafka: set SCANSTREAM_BROKER_HEAP=512m or more"
    if _NETWORK.search(text):
        return (
            f"one of Kafka's ports {ports} was taken by another program: "
            "set SCANSTREAM_BROKER_PORT and SCANSTREAM_BROKER_CONTROLLER_PORT"
        )
    if _SPACE.search(text):
        return f"the disk of {log_file.parent.parent} is full: make room and start again"
    if _LOCKED.search(text):
        return f"another Kafka works in {log_file.parent.parent}: end it or set SCANSTREAM_DATA_DIR"
    thrown = _THROWN.findall(text)
    reason = f"{thrown[-1][0].rpartition('.')[2]}: {thrown[-1][1].strip()}" if thrown else "it gave no reason"
    return f"Kafka ended with code {returncode} ({reason}): see {log_file}"


def _last_lines(path: Path, size_bytes: int = 16384) -> list[str]:
    try:
        with path.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - size_bytes))
            return stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
