"""Messages that were not understood → files on this machine, so that somebody can see what came.

Not a Kafka topic: a message of HL7 holds everything about a patient, and the log holds as little of it as can be.
The files are for this user only, the newest so many are kept, and a message that is sent again is one file.
"""

from __future__ import annotations

import logging
import os
from hashlib import sha256
from pathlib import Path
from typing import Final

from schemas.logs import fields

log = logging.getLogger(__name__)

#: Files that go at once when there are too many, as a share.
_ROOM: Final = 0.1


class Kept:
    """One directory of rejected messages.

    Parameters
    ----------
    directory
        Made when it is needed.
    most
        Files; 0 keeps none.
    """

    def __init__(self, directory: Path, most: int) -> None:
        self._directory = directory
        self._most = most
        self._count = most  # until they are counted

    def keep(self, payload: bytes) -> str | None:
        """Name of the file with these bytes; ``None`` where none could be written."""
        if not self._most:
            return None
        name = f"{sha256(payload).hexdigest()[:24]}.hl7"
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            aside = self._directory / f".{name}"
            with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(payload)
            aside.replace(self._directory / name)
            self._count += 1
            if self._count > self._most:
                self._prune()
        except OSError as error:
            log.warning("a rejected message could not be kept", extra=fields(reason=error.strerror))
            return None
        return name

    def _prune(self) -> None:
        files = sorted(self._directory.glob("*.hl7"), key=lambda file: file.stat().st_mtime_ns)
        self._count = len(files)
        if self._count > self._most:
            kept = self._most - int(self._most * _ROOM)
            for file in files[:-kept]:
                file.unlink(missing_ok=True)
            self._count = kept
