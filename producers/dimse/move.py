"""Retrieve service by C-MOVE (PS3.4 C.4.2): stored instances → C-STORE at another application entity.

The sending runs in a thread; a few at the same time, others wait. Guarantee: while it goes on or waits, the
requestor hears of it every second; it ends when the requestor cancels or is gone, and never waits for a
destination longer than its time limits.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from producers.dimse.blocking import in_thread
from producers.dimse.get import CannotSelect, instances_of, log_failed, log_result
from producers.dimse.peers import Peers
from producers.dimse.requestor import Timeouts
from producers.dimse.service import Exchange, Response, Session
from producers.dimse.spools import BoundedSpool
from producers.dimse.suboperations import RetrieveStatus, SubOperations
from producers.dimse.transfer import Route, Transfer
from producers.store.index import StoredInstance
from producers.store.spool import Spool
from producers.store.store import InstanceStore
from schemas.logs import fields

log = logging.getLogger(__name__)

_REPORT_EVERY_S: Final = 0.5
_MAX_AE_TITLE: Final = 16


@dataclass(frozen=True)
class Sending:
    """How this application entity opens associations of its own.

    Attributes
    ----------
    ae_title
        Our AE title.
    peers
        Known application entities, as they are now.
    tls
        For those that want it, as it is now; ``None`` when there is no certificate.
    timeouts
        Limits in seconds.
    """

    ae_title: str
    peers: Callable[[], Peers]
    tls: Callable[[], ssl.SSLContext | None] = lambda: None
    timeouts: Timeouts = Timeouts()  # noqa: RUF009 - immutable


class Move:
    """C-MOVE service class provider.

    Parameters
    ----------
    store
        What is retrieved from.
    sending
        How destinations are reached.
    most
        C-MOVEs that send at the same time.
    """

    def __init__(self, store: InstanceStore, sending: Sending, most: int) -> None:
        self._store = store
        self._sending = sending
        self._turns = asyncio.Semaphore(most)
        self._jobs: set[asyncio.Task[None]] = set()

    def new_spool(self) -> Spool:
        """Place for an identifier."""
        return BoundedSpool()

    async def perform(self, exchange: Exchange) -> Response:
        """Send what the identifier names to the destination, and report."""
        request = exchange.message.command
        title = (request.move_destination or "").strip()[:_MAX_AE_TITLE]
        destination = self._sending.peers().destination(title)
        if destination is None and title != self._sending.ae_title:
            if exchange.message.data_set is not None:
                exchange.message.data_set.close()
            log.warning(
                "C-MOVE to an unknown destination",
                extra=fields(association_id=exchange.session.association_id, destination=title),
            )
            sentence = f"{title} has no address in the peers file"
            return Response(request.response(RetrieveStatus.DESTINATION_UNKNOWN, sentence))
        try:
            instances = await instances_of(exchange, self._store)
        except CannotSelect as reason:
            return Response(request.response(reason.status, str(reason)))
        transfer_syntax = exchange.context.transfer_syntax
        if destination is None or not instances:
            # What is moved to ourselves is here already.
            return SubOperations(len(instances), len(instances)).final(request, transfer_syntax, False)
        route = Route(
            destination,
            self._sending.ae_title,
            (exchange.session.calling_ae_title, request.message_id or 0),
            self._sending.timeouts,
            self._sending.tls,
        )
        transfer = await self._run(exchange, route, instances)
        log_result(exchange, "C-MOVE", transfer.state)
        cancelled = transfer.state.remaining > 0
        return transfer.state.final(request, transfer_syntax, cancelled, transfer.reason)

    async def released(self, session: Session) -> None:
        """Nothing to do at the end."""

    async def _run(self, exchange: Exchange, route: Route, instances: Sequence[StoredInstance]) -> Transfer:
        transfer = Transfer(route, instances, lambda instance, why: log_failed(exchange, instance, why))
        request = exchange.message.command
        job = asyncio.get_running_loop().create_task(self._in_turn(transfer))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        try:
            while not job.done():
                await asyncio.wait({job}, timeout=_REPORT_EVERY_S)
                if exchange.is_cancelled:
                    transfer.stop()
                    if not transfer.has_begun:
                        return transfer
                if not job.done():
                    await exchange.send(transfer.state.pending(request))
        except BaseException:
            # its turn lasts until its thread ends, or requestors that come and go would have any number of threads
            transfer.stop(at_once=True)
            raise
        await job
        return transfer

    async def _in_turn(self, transfer: Transfer) -> None:
        async with self._turns:
            if not transfer.is_stopped:
                await in_thread(transfer.run)
