"""Log records → one JSON object per line on standard error.

Fields: ``time``, ``level``, ``process``, ``event`` and whatever the caller passes through
:func:`fields`. Callers pass UIDs and ``topic[partition]@offset``, never a patient's name, ID or birth date.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON.

    Parameters
    ----------
    process
        Name of the process, such as ``writer-stow``.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON for one record."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "event": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(process: str, level: str = "INFO") -> None:
    """Send all logs of this process to standard error as JSON lines; libraries from ``WARNING`` up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for package in ("schemas", "producers", "engines", "streams", "consumers", "dashboards", "__main__"):
        logging.getLogger(package).setLevel(level)


def fields(**values: object) -> dict[str, dict[str, object]]:
    """``extra`` argument of a logging call: ``log.info("stored", extra=fields(study_instance_uid=uid))``."""
    return {"fields": values}
