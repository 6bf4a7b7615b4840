"""Retrieve service by C-GET (PS3.4 C.4.3): stored instances → C-STORE sub-operations on the same association.

One instance is open at a time, and it is read as fast as the peer takes it. Guarantee: each instance counts as
completed only when the peer said so, and what is not whole on disk is never sent.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from typing import BinaryIO

from producers.dimse.command import MEDIUM, Command, CommandField
from producers.dimse.extended import agreed
from producers.dimse.find import identifier_of
from producers.dimse.retrieve_request import parse
from producers.dimse.service import Exchange, Response, Session
from producers.dimse.spools import BoundedSpool
from producers.dimse.suboperations import RetrieveStatus, SubOperations
from producers.dimse.transfer_form import Incomplete, choose, chunks, open_converted, open_data_set
from producers.store.index import StoredInstance
from producers.store.selection import select
from producers.store.spool import Spool
from producers.store.store import InstanceStore
from producers.store.transcode import CannotDecode
from schemas.errors import InvalidMessage
from schemas.logs import fields

log = logging.getLogger(__name__)


class Get:
    """C-GET service class provider.

    Parameters
    ----------
    store
        What is retrieved from.
    """

    def __init__(self, store: InstanceStore) -> None:
        self._store = store
        self._one_conversion = asyncio.Semaphore(1)

    def new_spool(self) -> Spool:
        """Place for an identifier."""
        return BoundedSpool()

    async def perform(self, exchange: Exchange) -> Response:
        """Send what the identifier names."""
        try:
            instances = await instances_of(exchange, self._store)
        except CannotSelect as reason:
            return Response(exchange.message.command.response(reason.status, str(reason)))
        state = SubOperations(len(instances))
        request = exchange.message.command
        for instance in instances:
            if exchange.is_cancelled:
                break
            state = state.after(instance.sop_instance_uid, await self._send(exchange, instance))
            if state.remaining:
                await exchange.send(state.pending(request))
        log_result(exchange, "C-GET", state)
        cancelled = state.remaining > 0
        return state.final(request, exchange.context.transfer_syntax, cancelled)

    async def released(self, session: Session) -> None:
        """Nothing to do at the end."""

    async def _send(self, exchange: Exchange, instance: StoredInstance) -> int | None:
        """Status of the C-STORE, ``None`` when none could be made."""
        contexts = {
            context.transfer_syntax: number
            for number, context in exchange.session.contexts.items()
            if context.abstract_syntax == instance.sop_class_uid and context.peer_is_scp
        }
        wanted = choose(instance.transfer_syntax_uid, contexts)
        if wanted is None:
            log_failed(exchange, instance, "no presentation context takes it")
            return None
        try:
            data_set = await self._open(instance, wanted)
        except (OSError, Incomplete, CannotDecode) as error:
            log_failed(exchange, instance, f"{type(error).__name__}: {error}")
            return None
        command = Command(
            CommandField.C_STORE_RQ,
            sop_class_uid=instance.sop_class_uid,
            sop_instance_uid=instance.sop_instance_uid,
            priority=MEDIUM,
        )
        with data_set:
            answer = await exchange.session.link.request(contexts[wanted], command, chunks(data_set))
        if answer.status:
            log_failed(exchange, instance, f"the peer answers {answer.status:04X}H")
        return answer.status

    async def _open(self, instance: StoredInstance, transfer_syntax_uid: str) -> BinaryIO:
        if transfer_syntax_uid == instance.transfer_syntax_uid:
            return await asyncio.to_thread(open_data_set, instance)
        async with self._one_conversion:
            return await asyncio.to_thread(open_converted, instance, transfer_syntax_uid)


class CannotSelect(Exception):
    """A retrieval ends before it begins, with this status."""

    def __init__(self, status: RetrieveStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


async def instances_of(exchange: Exchange, store: InstanceStore) -> list[StoredInstance]:
    """Instances that a C-GET or C-MOVE asks for.

    Raises
    ------
    CannotSelect
        The identifier is wrong, or the index cannot be read.
    """
    uid = exchange.context.abstract_syntax
    try:
        keys = await identifier_of(exchange)
        selection = parse(keys, uid, agreed(uid, exchange.session.extended).relational)
        return await store.reading(lambda index: select(index, store.root, selection))
    except InvalidMessage as error:
        log.warning("retrieval refused", extra=_fields(exchange, reason=str(error)))
        raise CannotSelect(RetrieveStatus.IDENTIFIER_DOES_NOT_MATCH, str(error)) from error
    except (sqlite3.Error, MemoryError) as error:
        log.exception("retrieval failed", extra=_fields(exchange))
        raise CannotSelect(RetrieveStatus.UNABLE_TO_CALCULATE_MATCHES, type(error).__name__) from error


def log_failed(exchange: Exchange, instance: StoredInstance, reason: str) -> None:
    """Say that an instance was not delivered."""
    log.warning(
        "instance not delivered",
        extra=_fields(exchange, sop_instance_uid=instance.sop_instance_uid, reason=reason),
    )


def log_result(exchange: Exchange, operation: str, state: SubOperations) -> None:
    """Say how a retrieval ended."""
    log.info(
        "retrieval ended",
        extra=_fields(
            exchange,
            operation=operation,
            completed=state.completed,
            failed=state.failed,
            warning=state.warning,
            remaining=state.remaining,
        ),
    )


def _fields(exchange: Exchange, **values: object) -> dict[str, dict[str, object]]:
    return fields(association_id=exchange.session.association_id, **values)
