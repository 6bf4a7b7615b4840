"""What librdkafka reports → our log, without its flood while a broker is away."""

from __future__ import annotations

import logging
from typing import Final


class _OncePerMinute(logging.Filter):
    """Lets one line of each kind (librdkafka's facility and client) through per minute.

    While a broker is away librdkafka reports every attempt to connect, up to twenty a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.getMessage().partition("]")[0]
        if record.created - self._last.get(kind, float("-inf")) < 60:
            return False
        self._last[kind] = record.created
        return True


_once_per_minute: Final = _OncePerMinute()


def client_log() -> logging.Logger:
    """Logger for a client of librdkafka."""
    logger = logging.getLogger("librdkafka")
    logger.addFilter(_once_per_minute)
    return logger
