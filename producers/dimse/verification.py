"""Verification service (PS3.4 A): answers C-ECHO."""

from __future__ import annotations

from typing import Final

from producers.dimse.service import Exchange, Response, Session
from producers.dimse.spools import BoundedSpool
from producers.store.outcome import Status
from producers.store.spool import Spool

VERIFICATION: Final = "1.2.840.10008.1.1"
TRANSFER_SYNTAXES: Final = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")


class Verification:
    """C-ECHO service class provider."""

    def new_spool(self) -> Spool:
        """C-ECHO has no data set; what comes all the same is not kept."""
        return BoundedSpool(0)

    async def perform(self, exchange: Exchange) -> Response:
        """Answer with success."""
        return Response(exchange.message.command.response(Status.SUCCESS))

    async def released(self, session: Session) -> None:
        """Nothing to do at the end."""
