"""Bytes that a process writes to standard error → JSON lines in a file of bounded size.

``<name>.log`` grows to 10 MB and is then moved to ``.1`` and that to ``.2``: at most 30 MB for each process. A
line that is no JSON object (a word of the interpreter or of a C library) is wrapped into one, so every line is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

LIMIT_BYTES: Final = 10 * 1024 * 1024
BACKUPS: Final = 2
#: A line longer than this is cut in two: a process cannot fill our memory with one line.
LONGEST_LINE: Final = 256 * 1024


class LogFile:
    """Log of one process.

    Parameters
    ----------
    path
        File to append to.
    process
        Name of the process, for lines that are wrapped.
    limit_bytes
        Size at which the file is rotated.
    now
        Clock for lines that are wrapped.
    """

    def __init__(
        self,
        path: Path,
        process: str,
        limit_bytes: int = LIMIT_BYTES,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path = path
        self._process = process
        self._limit = limit_bytes
        self._now = now
        self._stream = path.open("ab", buffering=0)
        self._size = path.stat().st_size
        self._rest = b""
        self.last_line = ""

    def feed(self, data: bytes) -> None:
        """Take bytes as they came; whole lines are written at once."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        written = [self._json_line(line) for line in lines if line.strip()]
        if written:
            self._write(b"".join(written))

    def flush(self) -> None:
        """Write what has no end of line: the process ended."""
        if self._rest:
            self.feed(b"\n")

    def close(self) -> None:
        """Close the file."""
        self.flush()
        self._stream.close()

    def _json_line(self, line: bytes) -> bytes:
        text = line.decode("utf-8", "replace").rstrip()
        self.last_line = text.strip()
        if line.startswith(b"{") and line.endswith(b"}"):
            return line + b"\n"
        wrapped = {
            "time": self._now().isoformat(timespec="milliseconds"),
            "level": "WARNING",
            "process": self._process,
            "logger": "stderr",
            "event": text,
        }
        return json.dumps(wrapped, ensure_ascii=False).encode() + b"\n"

    def _write(self, data: bytes) -> None:
        if self._size + len(data) > self._limit and self._size:
            self._rotate()
        self._stream.write(data)
        self._size += len(data)

    def _rotate(self) -> None:
        self._stream.close()
        for number in range(BACKUPS, 0, -1):
            older = self._path if number == 1 else self._path.with_name(f"{self._path.name}.{number - 1}")
            if older.exists():
                older.replace(self._path.with_name(f"{self._path.name}.{number}"))
        self._stream = self._path.open("ab", buffering=0)
        self._size = 0


def sentence_of(line: str) -> str:
    """What a last line says to a person: the sentence of a refusal, or the reason in a JSON line. Pure."""
    try:
        entry: Any = json.loads(line)
    except ValueError:
        return line
    if not isinstance(entry, dict):
        return line
    return str(entry.get("reason") or entry.get("event") or line)
