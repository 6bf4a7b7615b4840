"""Modality Worklist as SCP (PS3.4 K): C-FIND → what is scheduled, from ``clinical.context``.

Guarantee: a query is answered with all matches, or with a status that says why not; an empty answer means that
nothing is scheduled, never that nobody knows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from producers.dimse.command import Command
from producers.dimse.find import FindStatus, identifier_of
from producers.dimse.identifier import encode
from producers.dimse.service import Exchange, Response, Session
from producers.dimse.spools import BoundedSpool
from producers.dimse.worklist_query import Scheduled, WorklistQuery, answer, matches, parse, steps_of
from producers.store.spool import Spool
from schemas.errors import InvalidMessage
from schemas.events import ClinicalContext
from schemas.logs import fields

log = logging.getLogger(__name__)

_NOT_KNOWN: Final = "the worklist has not been read from Kafka yet: ask again"

#: Orders of now, or ``None`` while they are not known.
Orders = Callable[[], list[ClinicalContext] | None]


class Worklist:
    """C-FIND of the Modality Worklist Information Model.

    Parameters
    ----------
    orders
        What is scheduled.
    """

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def new_spool(self) -> Spool:
        """Place for an identifier."""
        return BoundedSpool()

    async def perform(self, exchange: Exchange) -> Response:
        """Search, and send the matches."""
        command = exchange.message.command
        try:
            query = parse(await identifier_of(exchange))
        except InvalidMessage as error:
            self._say(exchange, "worklist query refused", reason=str(error))
            return Response(command.response(FindStatus.IDENTIFIER_DOES_NOT_MATCH, str(error)))
        orders = self._orders()
        if orders is None:
            self._say(exchange, "worklist query refused", reason=_NOT_KNOWN)
            return Response(command.response(FindStatus.OUT_OF_RESOURCES, _NOT_KNOWN))
        found = await asyncio.to_thread(_search, query, orders)
        return Response(await self._send(exchange, query, found))

    async def released(self, session: Session) -> None:
        """Nothing to do at the end."""

    async def _send(self, exchange: Exchange, query: WorklistQuery, found: list[Scheduled]) -> Command:
        command = exchange.message.command
        status = FindStatus.PENDING_WITH_UNSUPPORTED_KEYS if query.has_unsupported else FindStatus.PENDING
        pending = command.response(status)
        for one in found:
            if exchange.is_cancelled:
                self._say(exchange, "worklist query cancelled", matches=len(found))
                return command.response(FindStatus.CANCELLED)
            await exchange.send(pending, encode(answer(query, one), exchange.context.transfer_syntax))
            await asyncio.sleep(0)  # others have their turn, and a cancellation can come in
        self._say(exchange, "worklist query answered", matches=len(found))
        return command.response(FindStatus.SUCCESS)

    def _say(self, exchange: Exchange, event: str, **more: object) -> None:
        association_id = exchange.session.association_id
        log.info(event, extra=fields(association_id=association_id, **more))


def _search(query: WorklistQuery, orders: list[ClinicalContext]) -> list[Scheduled]:
    return [step for step in steps_of(orders) if matches(query, step)]
