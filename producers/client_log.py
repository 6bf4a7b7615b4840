"""What librdkafka reports → our log, without its flood while a broker is away: up to twenty attempts a second."""

from __future__ import annotations

import logging
from typing import Final

from producers.once_per_minute import OncePerMinute


def _facility_and_client(record: logging.LogRecord) -> str:
    """Part of a report before its details, without the number of the client: others follow one that gave up."""
    return record.getMessage().partition("]")[0].rstrip("0123456789")


_once_per_minute: Final = OncePerMinute(_facility_and_client)


def client_log() -> logging.Logger:
    """Logger for a client of librdkafka."""
    logger = logging.getLogger("librdkafka")
    logger.addFilter(_once_per_minute)
    return logger
