"""Failures and successes of a far side → when to try again, and what is said about it.

Said once when it goes away, rarely while it stays away, and once when it is back. There is no limit to patience.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Callable
from typing import Final

from producers.poller.pace import backoff_s
from schemas.errors import ScanstreamError
from schemas.logs import fields

log = logging.getLogger(__name__)

REMIND_S: Final = 3600.0
_DETAILS: Final = re.compile(r"\([^()]*\)")


class Reach:
    """One far side.

    Parameters
    ----------
    name
        For the log, such as ``source``.
    changed
        Told whether it is reached, at every change.
    clock
        Seconds that never go back.
    chance
        Uniform in [0, 1).
    """

    def __init__(
        self,
        name: str,
        changed: Callable[[bool], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._name = name
        self._changed = changed
        self._clock = clock
        self._chance = chance
        self._failures = 0
        self._since_s = 0.0
        self._said_s = 0.0
        self._said = ""
        self._until_s = 0.0

    @property
    def wait_s(self) -> float:
        """Seconds until it may be tried again; 0 when it may now."""
        return max(0.0, self._until_s - self._clock())

    async def ready(self) -> None:
        """Wait until it may be tried."""
        await asyncio.sleep(self.wait_s)

    def lost(self, error: ScanstreamError, retry_after_s: float | None = None) -> None:
        """It failed."""
        now = self._clock()
        if now < self._until_s:
            # another task found out at the same time
            return
        self._failures += 1
        delay_s = max(backoff_s(self._failures, self._chance()), retry_after_s or 0.0)
        self._until_s = now + delay_s
        if self._failures == 1:
            self._since_s = now
            self._changed(False)
        reason = str(error)
        # the details in brackets differ from one attempt to the next
        cause = _DETAILS.sub("", reason)
        if self._failures == 1 or now - self._said_s >= REMIND_S or cause != self._said:
            self._said, self._said_s = cause, now
            log.warning(
                "the %s is away and will be tried until it is back",
                self._name,
                extra=fields(reason=reason, away_s=round(now - self._since_s), next_try_s=round(delay_s, 1)),
            )

    def found(self) -> None:
        """It answered."""
        if self._failures:
            away_s = round(self._clock() - self._since_s)
            log.info("the %s is back", self._name, extra=fields(away_s=away_s, attempts=self._failures))
        self._changed(True)
        self._failures = 0
        self._until_s = 0.0
