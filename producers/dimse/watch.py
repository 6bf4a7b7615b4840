"""Timers of one connection: ARTIM (PS3.8 9.1.5), and a look at the progress of an established association.

One timer handle per connection: it looks when it is due, and what happens meanwhile costs nothing. Guarantee: an
association without a request under way ends when no whole PDU came for the idle time, or when one message takes
longer than a message may: trickling bytes keeps nothing open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from producers.dimse.limits import Limits

_SHORTEST_WAIT_S: Final = 1.0


@dataclass(frozen=True)
class Progress:
    """How far an association is.

    Attributes
    ----------
    active_at
        Loop time of the last whole PDU or answer, seconds.
    messages
        Whole messages so far.
    in_the_middle
        Whether a message has begun and not ended.
    is_busy
        Whether somebody else than the peer has to move.
    """

    active_at: float
    messages: int
    in_the_middle: bool
    is_busy: bool


class Watch:
    """Timer of one connection.

    Parameters
    ----------
    loop
        Clock and timers.
    limits
        When it is due.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self._loop = loop
        self._limits = limits
        self._timer: asyncio.TimerHandle | None = None
        self._message = (-1, 0.0)

    def start_artim(self, expired: Callable[[], None]) -> None:
        """Call back when the association request, or the end of the connection, does not come in time."""
        self.stop()
        self._timer = self._loop.call_later(self._limits.artim_timeout_s, expired)

    def start_idle(self, progress: Callable[[], Progress], expired: Callable[[str], None]) -> None:
        """Call back, with the reason, when the association does not move; looks again and again until stopped."""
        self.stop()

        def look() -> None:
            seen, now = progress(), self._loop.time()
            reason = self._overdue(seen, now)
            if reason is not None:
                self._timer = None
                expired(reason)
                return
            due = seen.active_at + self._limits.idle_timeout_s - now
            self._timer = self._loop.call_later(max(due, _SHORTEST_WAIT_S), look)

        self._timer = self._loop.call_later(self._limits.idle_timeout_s, look)

    def stop(self) -> None:
        """No more calls."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _overdue(self, seen: Progress, now: float) -> str | None:
        if not seen.in_the_middle or seen.messages != self._message[0]:
            # The start of a message is not recorded where it is received, so it counts from the first look.
            self._message = (seen.messages, now)
        if seen.is_busy:
            return None
        if now >= seen.active_at + self._limits.idle_timeout_s:
            return "association idle for too long"
        if seen.in_the_middle and now >= self._message[1] + self._limits.message_timeout_s:
            return "a message takes too long"
        return None
