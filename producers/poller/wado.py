"""A PACS with DICOMweb as the source: QIDO-RS to list, WADO-RS to read (PS3.18 10.4, 10.6).

Objects are asked for as they are stored (``transfer-syntax=*``), and their bytes pass on as they come. A service
that refuses to do so is asked for its default form, and that is said once.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from http import HTTPStatus
from typing import Final

import httpx

from producers.dicomweb.media import DICOM, MULTIPART_RELATED, parse_media_type
from producers.dicomweb.multipart import (
    MalformedMultipart,
    MultipartEvent,
    MultipartReader,
    PartBegin,
    PartData,
    PartTooLarge,
)
from producers.poller import qido
from producers.poller.archive import Object, Store
from producers.poller.plan import Instance, Request, Series, Study
from producers.poller.web import DicomWeb
from producers.poller.windows import Window
from schemas.errors import TransientFailure

log = logging.getLogger(__name__)

#: More than an explicit length can say (PS3.5 7.1): the gateway decides what is too large.
_MAX_PART_BYTES: Final = 1 << 40
_AS_STORED: Final = f'{MULTIPART_RELATED}; type="{DICOM}"; transfer-syntax=*'
_DEFAULT: Final = f'{MULTIPART_RELATED}; type="{DICOM}"'
_REFUSES_FORM: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_ACCEPTABLE})


class WebArchive:
    """See :class:`producers.poller.archive.Archive`.

    Parameters
    ----------
    web
        Connection to the source.
    more
        Further matching keys of the search for studies, by keyword.
    """

    def __init__(self, web: DicomWeb, more: Mapping[str, str]) -> None:
        self._web = web
        self._more = more
        self._accept = _AS_STORED

    async def probe(self) -> None:
        """Search for a study that nobody has."""
        await self._web.json("/studies", {"StudyInstanceUID": "2.25.0", "limit": "1"})

    async def studies(self, window: Window, limit: int | None) -> tuple[list[Study], bool]:
        """Studies of a window; pages until all are there, however many."""
        return await qido.studies_in(self._web, window.study_date(), window.study_time(), self._more, limit)

    async def series(self, study: str) -> list[Series]:
        """Series of a study."""
        return await qido.series_in(self._web, study)

    async def instances(self, study: str) -> list[Instance]:
        """Instances of a study."""
        return await qido.instances_in(self._web, study)

    async def retrieve(self, request: Request, store: Store) -> None:
        """Pass the objects on while they come."""
        async with aclosing(self._objects(request)) as objects:
            await store(objects)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._web.aclose()

    async def _objects(self, request: Request) -> AsyncGenerator[Object, None]:
        for path in _paths(request):
            async with aclosing(self._at(path)) as objects:
                async for one in objects:
                    yield one

    async def _at(self, path: str) -> AsyncGenerator[Object, None]:
        async with self._web.stream(path, self._accept) as response:
            if response.status_code == HTTPStatus.OK:
                async with aclosing(objects_of(response)) as objects:
                    async for one in objects:
                        yield one
                return
            if self._accept != _AS_STORED or response.status_code not in _REFUSES_FORM:
                raise self._web.failure(response)
        log.warning("the source does not give objects as they are stored: they come in the form that it chooses")
        self._accept = _DEFAULT
        async with aclosing(self._at(path)) as objects:
            async for one in objects:
                yield one


def _paths(request: Request) -> list[str]:
    study = f"/studies/{request.study_instance_uid}"
    series = f"{study}/series/{request.series_instance_uid}" if request.series_instance_uid else study
    return [f"{series}/instances/{uid}" for uid in request.sop_instance_uids] or [series]


async def objects_of(response: httpx.Response) -> AsyncGenerator[Object, None]:
    """Objects of a retrieval, each to be taken before the next.

    Raises
    ------
    TransientFailure
        The body is not what its type says, or ends too early.
    """
    content_type = parse_media_type(response.headers.get("Content-Type", ""))
    if content_type is not None and content_type.name == DICOM:
        yield response.aiter_bytes()
        return
    if content_type is None or content_type.name != MULTIPART_RELATED:
        raise TransientFailure("the source answers WADO-RS with something else than DICOM: see its log")
    try:
        reader = MultipartReader(content_type.parameters.get("boundary", ""), _MAX_PART_BYTES)
    except MalformedMultipart as error:
        raise TransientFailure(f"the source's answer to WADO-RS cannot be read ({error}): see its log") from error
    async with aclosing(_events(response, reader)) as events:
        async for event in events:
            if isinstance(event, PartBegin):
                yield _body(events)


async def _events(response: httpx.Response, reader: MultipartReader) -> AsyncGenerator[MultipartEvent, None]:
    try:
        async for chunk in response.aiter_bytes():
            for event in reader.feed(chunk):
                yield event
        reader.finish()
    except (MalformedMultipart, PartTooLarge) as error:
        raise TransientFailure(f"the source's answer to WADO-RS cannot be read ({error}): see its log") from error


async def _body(events: AsyncIterator[MultipartEvent]) -> AsyncIterator[bytes]:
    async for event in events:
        if isinstance(event, PartData):
            yield event.data
        else:
            return
