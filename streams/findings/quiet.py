"""Reports of the Kafka client → one of each kind a minute.

While a broker is away the client reports every attempt to reach it, some sixty lines a second.
"""

from __future__ import annotations

import logging
from typing import Final

INTERVAL_S: Final = 60.0


class OncePerMinute(logging.Filter):
    """Lets one record of each kind, told by its logger and its unformatted text, through per minute."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, object], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write a record."""
        kind = (record.name, record.msg)
        if record.created - self._last.get(kind, float("-inf")) < INTERVAL_S:
            return False
        self._last[kind] = record.created
        return True


def quieten(library: str) -> None:
    """Filter the loggers that a library has made by now; filters are not inherited, so each gets it."""
    once = OncePerMinute()
    for name in list(logging.Logger.manager.loggerDict):
        if name == library or name.startswith(f"{library}."):
            logging.getLogger(name).addFilter(once)
