"""Whether Kafka answers → a line in the log when that changes, and rarely in between."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from schemas.logs import fields

log = logging.getLogger(__name__)

_REMIND_EVERY_S: Final = 300.0


class Complaint:
    """Says once that Kafka is away, reminds rarely, and says when it is back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.waiting = 0
        self._clock = clock
        self._said_at: float | None = None

    @property
    def is_away(self) -> bool:
        """Whether Kafka did not answer when it was last asked."""
        return self._said_at is not None

    def away(self, reason: str) -> None:
        """Kafka could not be reached."""
        now = self._clock()
        if self._said_at is None or now - self._said_at >= _REMIND_EVERY_S:
            self._said_at = now
            log.warning(
                "Kafka is away: images are still taken in, and their events wait in the outbox",
                extra=fields(reason=reason, waiting=self.waiting),
            )

    def back(self) -> None:
        """Kafka answered."""
        if self._said_at is not None:
            self._said_at = None
            log.info("Kafka is back", extra=fields(waiting=self.waiting))
