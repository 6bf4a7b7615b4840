"""Exit code and last words of Kafka's JVM → one sentence with the remedy."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from schemas.settings import BrokerSettings

_MEMORY: Final = re.compile(
    r"OutOfMemoryError|heap space|Too small|Could not reserve|Initial heap size|maximum heap size|your heap size"
)
_NETWORK: Final = re.compile(r"Address already in use|Socket server failed to bind")
_LOCKED: Final = re.compile(r"Failed to acquire lock")
_SPACE: Final = re.compile(r"No space left on device")
_THROWN: Final = re.compile(r"\b([\w.]+(?:Exception|Error)): (.+)")

LOG_BYTES: Final = 64 * 1024


class Failure:
    """Explains why a run of Kafka ended.

    Parameters
    ----------
    settings
        Ports and heap, named in the remedy.
    log_file
        Kafka's own log; what this run appends to it is read.
    """

    def __init__(self, settings: BrokerSettings, log_file: Path) -> None:
        self.log_file = log_file
        self._settings = settings
        self._start = log_file.stat().st_size if log_file.exists() else 0

    def sentence(self, returncode: int, lines: Sequence[str]) -> str:
        """Why Kafka ended.

        Parameters
        ----------
        returncode
            Of the JVM; negative for a signal.
        lines
            Last lines of its output.
        """
        return explain(returncode, "\n".join([self._logged(), *lines]), self._settings, self.log_file)

    def _logged(self) -> str:
        try:
            with self.log_file.open("rb") as stream:
                size = stream.seek(0, 2)
                begin = self._start if size >= self._start else 0  # the log was rotated meanwhile
                stream.seek(max(begin, size - LOG_BYTES))
                return stream.read().decode("utf-8", "replace")
        except OSError:
            return ""


def explain(returncode: int, text: str, settings: BrokerSettings, log_file: Path) -> str:
    """Sentence for what Kafka and its JVM said. Pure."""
    state = log_file.parent.parent
    if returncode < 0:
        name = signal.Signals(-returncode).name
        return f"Kafka was ended by {name}: when nobody did that on purpose, look for want of memory (dmesg)"
    if _MEMORY.search(text):
        return f"the Java heap of {settings.heap} is too small for Kafka: set SCANSTREAM_BROKER_HEAP=512m or more"
    if _NETWORK.search(text):
        return (
            f"port {settings.port} or {settings.controller_port} was taken by another program: "
            "set SCANSTREAM_BROKER_PORT and SCANSTREAM_BROKER_CONTROLLER_PORT"
        )
    if _SPACE.search(text):
        return f"the disk of {state} is full: make room and start again"
    if _LOCKED.search(text):
        return f"another Kafka works in {state}: end it or set SCANSTREAM_DATA_DIR"
    thrown = _THROWN.findall(text)
    reason = f"{thrown[-1][0].rpartition('.')[2]}: {thrown[-1][1].strip()}" if thrown else "it gave no reason"
    return f"Kafka ended with code {returncode} ({reason}): see {log_file}"
