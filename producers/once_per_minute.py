"""Log records → one of each kind a minute: what a library says at every attempt while the far side is away."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from typing import Final

INTERVAL_S: Final = 60.0


def by_text(record: logging.LogRecord) -> Hashable:
    """Tell kinds by logger and unformatted text."""
    return record.name, record.msg


class OncePerMinute(logging.Filter):
    """Lets one record of each kind through per minute.

    Parameters
    ----------
    kind
        What is of a kind.
    """

    def __init__(self, kind: Callable[[logging.LogRecord], Hashable] = by_text) -> None:
        super().__init__()
        self._kind = kind
        self._last: dict[Hashable, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write a record."""
        kind = self._kind(record)
        if record.created - self._last.get(kind, float("-inf")) < INTERVAL_S:
            return False
        self._last[kind] = record.created
        return True
