"""Query service (PS3.4 C.4.1): C-FIND in the Patient Root and Study Root models on the gateway's own store.

Matches are read from the index page by page and sent at the pace of the peer, so a search holds one page in memory
however much it finds. Guarantee: a query is answered with all matches, or with a status that says why not.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Mapping
from enum import IntEnum
from typing import Any, Final

from producers.dimse.command import Command
from producers.dimse.extended import agreed
from producers.dimse.find_query import INDEX_LEVEL, FindQuery, match, parse, rows_seen
from producers.dimse.identifier import Keys, decode, encode
from producers.dimse.service import Exchange, Response, Session
from producers.dimse.spools import BoundedSpool
from producers.store.patients import build_patients
from producers.store.spool import Spool
from producers.store.store import InstanceStore
from schemas.errors import InvalidMessage
from schemas.logs import fields

log = logging.getLogger(__name__)

_PAGE: Final = 500


class FindStatus(IntEnum):
    """Statuses of C-FIND (PS3.4 table C.4-1)."""

    SUCCESS = 0x0000
    PENDING = 0xFF00
    PENDING_WITH_UNSUPPORTED_KEYS = 0xFF01
    CANCELLED = 0xFE00
    OUT_OF_RESOURCES = 0xA700
    IDENTIFIER_DOES_NOT_MATCH = 0xA900
    UNABLE_TO_PROCESS = 0xC001


class Find:
    """C-FIND service class provider.

    Parameters
    ----------
    store
        What is searched.
    ae_title
        Ours, where matches can be retrieved from.
    """

    def __init__(self, store: InstanceStore, ae_title: str) -> None:
        self._store = store
        self._ae_title = ae_title

    def new_spool(self) -> Spool:
        """Place for an identifier."""
        return BoundedSpool()

    async def perform(self, exchange: Exchange) -> Response:
        """Search, and send the matches."""
        command = exchange.message.command
        try:
            sop_class_uid = exchange.context.abstract_syntax
            keys = await identifier_of(exchange)
            query = parse(keys, sop_class_uid, agreed(sop_class_uid, exchange.session.extended))
            return Response(await self._answer(exchange, query))
        except InvalidMessage as error:
            return Response(_failed(exchange, FindStatus.IDENTIFIER_DOES_NOT_MATCH, str(error)))
        except (sqlite3.OperationalError, MemoryError) as error:
            return Response(_failed(exchange, FindStatus.OUT_OF_RESOURCES, type(error).__name__))
        except sqlite3.Error as error:
            log.exception("query failed", extra=fields(association_id=exchange.session.association_id))
            return Response(command.response(FindStatus.UNABLE_TO_PROCESS, type(error).__name__))

    async def released(self, session: Session) -> None:
        """Nothing to do at the end."""

    async def _answer(self, exchange: Exchange, query: FindQuery) -> Command:
        status = FindStatus.PENDING_WITH_UNSUPPORTED_KEYS if query.has_unsupported else FindStatus.PENDING
        command = exchange.message.command
        pending = command.response(status)
        matches = 0
        async for row in self._rows(query):
            if exchange.is_cancelled:
                log.info("query cancelled", extra=_fields(exchange, query, matches))
                return command.response(FindStatus.CANCELLED)
            data_set = encode(match(query, row, self._ae_title), exchange.context.transfer_syntax)
            await exchange.send(pending, data_set)
            await asyncio.sleep(0)  # others have their turn, and a cancellation can come in
            matches += 1
        log.info("query answered", extra=_fields(exchange, query, matches))
        return command.response(FindStatus.SUCCESS)

    async def _rows(self, query: FindQuery) -> AsyncIterator[Mapping[str, Any]]:
        seen: set[int] = set()
        offset = 0
        while page := await self._page(query, offset):
            for row in rows_seen(seen, query, page):
                yield row
            if len(page) < _PAGE:
                return
            offset += _PAGE

    async def _page(self, query: FindQuery, offset: int) -> list[dict[str, Any]]:
        if query.level != "PATIENT":
            level = INDEX_LEVEL[query.level]
            return await self._store.search(level, query.filters, _PAGE, offset, query.matching)
        text, parameters = build_patients(query.filters, _PAGE, offset, query.matching)
        return await self._store.reading(lambda index: [dict(row) for row in index.execute(text, parameters)])


async def identifier_of(exchange: Exchange) -> Keys:
    """Keys of a request, read in another thread because a peer decides how long it takes; its data set is closed.

    Raises
    ------
    InvalidMessage
        There is no identifier, it is too long, or it cannot be read.
    """
    spool = exchange.message.data_set
    if spool is None:
        raise InvalidMessage("the request has no identifier")
    try:
        if spool.failure is not None:
            raise InvalidMessage(spool.failure)
        data = spool.prefix(spool.size)
    finally:
        spool.close()
    return await asyncio.to_thread(decode, data, exchange.context.transfer_syntax)


def _failed(exchange: Exchange, status: FindStatus, sentence: str) -> Command:
    log.warning(
        "query refused",
        extra=fields(
            association_id=exchange.session.association_id,
            calling_ae_title=exchange.session.calling_ae_title,
            status=f"{status:04X}",
            reason=sentence,
        ),
    )
    return exchange.message.command.response(status, sentence)


def _fields(exchange: Exchange, query: FindQuery, matches: int) -> dict[str, dict[str, object]]:
    return fields(association_id=exchange.session.association_id, level=query.level, matches=matches)
