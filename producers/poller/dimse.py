"""A PACS with DIMSE as the source: C-FIND to list, C-MOVE or C-GET to read (PS3.4 C), Study Root model.

A C-MOVE makes the PACS send to the gateway itself. The objects of a C-GET come to us and pass on to the gateway by
STOW-RS, their data sets byte for byte; a few are held in memory, and the PACS waits for their turn.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from itertools import islice
from typing import Final, TypeVar

from producers.dimse.outbound import Delivery, Outbound, Retrieval
from producers.dimse.peers import Peer
from producers.dimse.proposals import Context
from producers.dimse.requestor import Proposal, Timeouts, associated
from producers.poller import identifier
from producers.poller.archive import Object, SourceMisconfigured, Store
from producers.poller.contexts import contexts_for
from producers.poller.plan import Instance, Request, Series, Study
from producers.poller.sources import GetSource, MoveSource
from producers.poller.suboperations import check, last
from producers.poller.thread import Handle, in_thread
from producers.poller.windows import Window
from producers.store.part10 import FileMeta, encode_header
from schemas.errors import PermanentRejection

_VERIFICATION: Final = "1.2.840.10008.1.1"
_SYNTAXES: Final = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
_OUT_OF_RESOURCES: Final = 0xA700
#: Objects of a C-GET that wait for the gateway.
_HELD: Final = 4

T = TypeVar("T")


class DimseArchive:
    """See :class:`producers.poller.archive.Archive`.

    Parameters
    ----------
    source
        Its entry.
    tls
        When the entry asks for it.
    """

    def __init__(self, source: MoveSource | GetSource, tls: ssl.SSLContext | None = None) -> None:
        self._source = source
        self._tls = tls
        self._peer = Peer(ae_title=source.ae_title, host=source.host, port=source.port, tls=tls is not None)
        self._timeouts = Timeouts(response_s=source.timeout_s)
        modalities = source.filters.modalities
        # a list of values is no matter of the standard: then we choose ourselves
        self._modality = next(iter(modalities)) if len(modalities) == 1 else ""

    async def probe(self) -> None:
        """C-ECHO."""
        await self._with([Context(_VERIFICATION, _SYNTAXES)], lambda outbound, _: outbound.echo())

    async def studies(self, window: Window, limit: int | None) -> tuple[list[Study], bool]:
        """Studies of a window; one more than the limit is not read."""
        query = identifier.studies_query(window, self._modality)

        def find(outbound: Outbound, _: Handle) -> list[Study]:
            # whoever stops early makes it cancel (PS3.4 C.4.1.3.2)
            matches = outbound.find(query, identifier.STUDY_ROOT_FIND)
            return [study for match in islice(matches, limit) if (study := identifier.study_of(match))]

        found = await self._with([Context(identifier.STUDY_ROOT_FIND, _SYNTAXES)], find)
        return found, limit is None or len(found) < limit

    async def series(self, study: str) -> list[Series]:
        """Series of a study."""
        return await self._with(
            [Context(identifier.STUDY_ROOT_FIND, _SYNTAXES)], lambda outbound, _: _series(outbound, study)
        )

    async def instances(self, study: str) -> list[Instance]:
        """Instances of a study, series by series, as the hierarchical model wants it (PS3.4 C.4.1.2.2.1)."""

        def find(outbound: Outbound, _: Handle) -> list[Instance]:
            return [
                instance
                for series in _series(outbound, study)
                for match in outbound.find(
                    identifier.instances_query(study, series.series_instance_uid), identifier.STUDY_ROOT_FIND
                )
                if (instance := identifier.instance_of(match, series.series_instance_uid))
            ]

        return await self._with([Context(identifier.STUDY_ROOT_FIND, _SYNTAXES)], find)

    async def retrieve(self, request: Request, store: Store) -> None:
        """C-MOVE to the gateway, or C-GET."""
        if isinstance(self._source, MoveSource):
            await self._move(request, self._source.destination)
        else:
            await self._get(request, store)

    async def aclose(self) -> None:
        """Nothing is held open."""

    async def _move(self, request: Request, destination: str) -> None:
        keys = identifier.retrieval(request)

        def move(outbound: Outbound, handle: Handle) -> Retrieval | None:
            return last(outbound.move(keys, destination, identifier.STUDY_ROOT_MOVE, handle.is_cancelled))

        final = await self._with([Context(identifier.STUDY_ROOT_MOVE, _SYNTAXES)], move)
        check(final, self._source.ae_title, destination)

    async def _get(self, request: Request, store: Store) -> None:
        """The association's thread fills a short queue, which the gateway empties."""
        keys = identifier.retrieval(request)
        loop = asyncio.get_running_loop()
        held: asyncio.Queue[Delivery | None] = asyncio.Queue(_HELD)
        ended = False

        def take(delivery: Delivery) -> int:
            if ended:
                return _OUT_OF_RESOURCES
            try:
                asyncio.run_coroutine_threadsafe(held.put(delivery), loop).result(self._source.timeout_s)
            except (TimeoutError, RuntimeError):
                return _OUT_OF_RESOURCES
            return 0x0000

        async def read() -> Retrieval | None:
            def get(outbound: Outbound, handle: Handle) -> Retrieval | None:
                return last(outbound.get(keys, identifier.STUDY_ROOT_GET, handle.is_cancelled))

            try:
                return await self._with(contexts_for(request.instances), get, take)
            finally:
                await held.put(None)

        async def objects() -> AsyncIterator[Object]:
            while (delivery := await held.get()) is not None:
                yield _part10(delivery)

        reading = asyncio.create_task(read())
        try:
            await store(objects())
            check(await reading, self._source.ae_title, "")
        finally:
            ended = True
            reading.cancel()
            while not held.empty():
                held.get_nowait()
            await asyncio.gather(reading, return_exceptions=True)

    async def _with(
        self,
        contexts: list[Context],
        work: Callable[[Outbound, Handle], T],
        take: Callable[[Delivery], int] | None = None,
    ) -> T:
        """Open an association in a thread and work with it."""

        def run(handle: Handle) -> T:
            proposal = Proposal(contexts)
            ours = self._source.calling_ae_title
            with associated(
                self._peer, ours, proposal, timeouts=self._timeouts, tls=self._tls, take=take
            ) as outbound:
                handle.hold(outbound)
                return work(outbound, handle)

        try:
            return await in_thread(run)
        except PermanentRejection as error:
            if error.code is not None and error.code >> 8 in (1, 2, 3):
                # the association was rejected: nothing about one study (PS3.8 9.3.4)
                raise SourceMisconfigured(str(error)) from error
            raise


def _series(outbound: Outbound, study: str) -> list[Series]:
    matches = outbound.find(identifier.series_query(study), identifier.STUDY_ROOT_FIND)
    return [series for match in matches if (series := identifier.series_of(match))]


async def _part10(delivery: Delivery) -> Object:
    yield encode_header(FileMeta(delivery.transfer_syntax_uid, delivery.sop_class_uid, delivery.sop_instance_uid))
    yield delivery.data_set
