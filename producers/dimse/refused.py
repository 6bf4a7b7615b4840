"""Peers that were turned away → security alerts in the outbox (PS3.15 A.5.3.11), few however many try.

One alert for a title and address in ten minutes, and ten at once in all, one more each minute; what was left out
is counted in the next. Guarantee: a scanner fills neither the outbox nor memory.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from producers.audit_events import AuditEvents
from producers.dimse.acse import AssociationRequest
from producers.dimse.admission import Caller
from producers.dimse.negotiation import Rejection
from producers.store.outbox import Message
from schemas.errors import DestinationUnavailable
from schemas.logs import fields

log = logging.getLogger(__name__)

_PERMANENT: Final = 1
_SAME_AGAIN_S: Final = 600.0
_BURST: Final = 10
_ONE_MORE_S: Final = 60.0
_REMEMBERED: Final = 1024


class Alarm:
    """Whether something is told again. Pure.

    Attributes
    ----------
    untold
        What was left out since the last that was told.
    """

    def __init__(self) -> None:
        self.untold = 0
        self._told: dict[tuple[str, str], float] = {}
        self._allowance = float(_BURST)
        self._seen_at: float | None = None

    def rings(self, who: tuple[str, str], now: float) -> bool:
        """Whether to tell of ``who`` at the monotonic time ``now``, seconds."""
        elapsed = 0.0 if self._seen_at is None else now - self._seen_at
        self._seen_at = now
        self._allowance = min(self._allowance + elapsed / _ONE_MORE_S, float(_BURST))
        told_at = self._told.get(who)
        if self._allowance < 1 or (told_at is not None and now - told_at < _SAME_AGAIN_S):
            self.untold += 1
            return False
        self._allowance -= 1
        self._told.pop(who, None)
        self._told[who] = now
        if len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]
        return True


class RefusedPeers:
    """Tells of rejected associations; a limit that is reached is no matter of security.

    Parameters
    ----------
    audit
        Makes the events.
    announce
        Puts them into the outbox.
    clock
        Unix time in seconds.
    monotonic
        Monotonic time in seconds.
    """

    def __init__(
        self,
        audit: AuditEvents,
        announce: Callable[[Sequence[Message]], Awaitable[None]],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._audit = audit
        self._announce = announce
        self._clock = clock
        self._monotonic = monotonic
        self._alarm = Alarm()
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, request: AssociationRequest, caller: Caller, rejection: Rejection) -> None:
        """An association was rejected."""
        if rejection.result != _PERMANENT:
            return
        who = (request.calling_ae_title, caller.address)
        if not self._alarm.rings(who, self._monotonic()):
            return
        detail = {
            "calling_ae_title": request.calling_ae_title,
            "called_ae_title": request.called_ae_title,
            "address": caller.address,
            "reason": rejection.sentence,
        }
        if self._alarm.untold:
            detail["others_not_told"] = str(self._alarm.untold)
            self._alarm.untold = 0
        message = self._audit.security_alert("an association was rejected", self._clock(), detail)
        task = asyncio.get_running_loop().create_task(self._tell(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, message: Message) -> None:
        try:
            await self._announce([message])
        except DestinationUnavailable as error:
            log.error(  # noqa: TRY400 - the sentence says it all
                "no security alert written for a rejected association", extra=fields(reason=str(error))
            )
