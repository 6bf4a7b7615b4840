"""Storage Commitment Push Model as SCP (PS3.4 J): N-ACTION → a durable request, and its report.

Guarantee: success is answered only after the request is durable; from then on its report is owed, whatever
happens to the process or the association.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from producers.dimse import commitment
from producers.dimse.commitment import DUPLICATE_TRANSACTION
from producers.dimse.commitment_reports import CommitmentReports
from producers.dimse.data_sets import RESOURCE_LIMITATION, Refusal, read, refused
from producers.dimse.service import Exchange, Response, Session
from producers.dimse.spools import BoundedSpool
from producers.store import commitments
from producers.store.commitments import Commitment
from producers.store.outcome import Status
from producers.store.service_database import ServiceDatabase
from producers.store.spool import Spool
from schemas.errors import DestinationUnavailable
from schemas.logs import fields

log = logging.getLogger(__name__)

#: A request for fifty thousand instances takes this much.
_MAX_REQUEST_BYTES: Final = 8 * 1024 * 1024
_MAX_PENDING: Final = 10_000


class StorageCommitment:
    """N-ACTION of the Storage Commitment Push Model.

    Parameters
    ----------
    database
        Keeps requests.
    reports
        Reports on them.
    clock
        Unix time in seconds.
    """

    def __init__(self, database: ServiceDatabase, reports: CommitmentReports, clock: Callable[[], float]) -> None:
        self._database = database
        self._reports = reports
        self._clock = clock

    def new_spool(self) -> Spool:
        """Place for a list of instances."""
        return BoundedSpool(_MAX_REQUEST_BYTES)

    async def perform(self, exchange: Exchange) -> Response:
        """Take a request (PS3.4 J.3.2)."""
        command, session = exchange.message.command, exchange.session
        try:
            commitment.check_addressed(command)
            transaction, instances = await read(exchange, commitment.asked_for)
            request = Commitment(
                session.calling_ae_title,
                transaction,
                session.called_ae_title,
                instances,
                failures=None,
                requested_at=self._clock(),
                tries=0,
            )
            await self._keep(request)
        except Refusal as refusal:
            return refused(exchange, refusal, "storage commitment refused")
        log.info(
            "storage commitment requested",
            extra=fields(
                association_id=session.association_id, transaction_uid=transaction, instances=len(instances)
            ),
        )
        # Its task runs when this one rests: after the response is written.
        self._reports.begin(request, session, exchange.message.context_id)
        return Response(command.response(Status.SUCCESS))

    async def _keep(self, request: Commitment) -> None:
        """Make a request durable."""
        try:
            await self._database.run(partial(commitments.add, request=request, most=_MAX_PENDING))
        except commitments.TransactionInUse:
            raise Refusal(DUPLICATE_TRANSACTION, "the Transaction UID was used already: choose another") from None
        except commitments.TooMany:
            raise Refusal(RESOURCE_LIMITATION, "too many requests wait for their reports: ask later") from None
        except DestinationUnavailable as error:
            raise Refusal(RESOURCE_LIMITATION, str(error)) from error

    async def released(self, session: Session) -> None:
        """Nothing to do: the report finds the association closed."""
