"""Iterators of bytes → responses that are sent while they are made, in bounded memory.

What can fail is tried before a response begins, so that a failure still has a status. While one block is on its
way to the client a thread makes the next one, so the event loop never waits for a disk.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Final, TypeVar

import orjson
from starlette.responses import Response, StreamingResponse

from producers.dicomweb import multipart
from producers.dicomweb.conditional import not_modified, selected_range
from producers.dicomweb.dicom_json import Json
from producers.dicomweb.media import DICOM_XML, MULTIPART_RELATED
from producers.dicomweb.native_xml import to_xml
from producers.dicomweb.problem import Problem
from producers.dicomweb.requests import not_acceptable
from producers.store.transcode import CannotDecode
from schemas.logs import fields

log = logging.getLogger(__name__)

#: Small pieces are gathered to about this size, because each one costs a switch of threads.
_BLOCK_BYTES: Final = 1024 * 1024
#: A piece of this size goes alone: copying it would cost more than the switch.
_LARGE_BYTES: Final = 256 * 1024

T = TypeVar("T")

#: Header fields and body of each part.
Parts = Iterator[tuple[dict[str, str], Iterator[bytes]]]


async def streamed(chunks: Iterator[bytes], media_type: str, headers: Mapping[str, str]) -> Response:
    """Response whose body is made piece by piece.

    Raises
    ------
    Problem
        The first piece cannot be made.
    """
    blocks = gathered(chunks)
    first = await asyncio.to_thread(attempted, lambda: next(blocks, b""))
    body = _read_ahead(itertools.chain([first], blocks))
    return StreamingResponse(body, headers={**headers, "Content-Type": media_type, "Vary": "Accept"})


async def ranged(
    request_headers: Mapping[str, str],
    etag: str,
    length: int,
    media_type: str,
    chunks: Callable[[range], Iterator[bytes]],
) -> Response:
    """Response of a single part, whole or the range of it that was asked for.

    Parameters
    ----------
    request_headers
        Names in lower case.
    etag
        Strong entity tag.
    length
        Bytes of the whole.
    media_type
        Of the part.
    chunks
        Bytes of a range.

    Raises
    ------
    Problem
        The range lies outside, or the first piece cannot be made.
    """
    headers = {"ETag": etag, "Accept-Ranges": "bytes"}
    if not_modified(request_headers, etag):
        return Response(status_code=int(HTTPStatus.NOT_MODIFIED), headers=headers)
    wanted = selected_range(request_headers, etag, length)
    sent = wanted if wanted is not None else range(length)
    headers["Content-Length"] = str(len(sent))
    response = await streamed(chunks(sent), media_type, headers)
    if wanted is not None:
        response.status_code = int(HTTPStatus.PARTIAL_CONTENT)
        response.headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{length}"
    return response


async def multipart_response(
    parts: Parts, part_type: str, headers: dict[str, str], body_bytes: int | None = None, count: int = 0
) -> Response:
    """Multipart response; its length is announced when the bodies' lengths are known."""
    boundary = uuid.uuid4().hex
    if body_bytes is not None:
        overhead = count * len(multipart.part_head(boundary, {"Content-Type": part_type}))
        headers["Content-Length"] = str(body_bytes + overhead + len(multipart.closing(boundary)))

    def chunks() -> Iterator[bytes]:
        for part_headers, body in parts:
            yield multipart.part_head(boundary, part_headers)
            yield from body
        yield multipart.closing(boundary)

    return await streamed(chunks(), f'{MULTIPART_RELATED}; type="{part_type}"; boundary={boundary}', headers)


def attempted(make: Callable[[], T]) -> T:
    """What ``make`` gives.

    Raises
    ------
    Problem
        A file is missing or its pixel data cannot be decoded.
    """
    try:
        return make()
    except FileNotFoundError as error:
        log.error("the file of an indexed instance is missing", extra=fields(file=error.filename))  # noqa: TRY400
        raise Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "a file of this object is missing from the gateway's disk: restore it, or send the object again",
        ) from error
    except CannotDecode as error:
        raise not_acceptable(f"{error}: accept it as it is stored, with transfer-syntax=*") from error


def gathered(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks of about a mebibyte."""
    waiting: list[bytes] = []
    size = 0
    for chunk in chunks:
        if len(chunk) >= _LARGE_BYTES:
            if waiting:
                yield b"".join(waiting)
                waiting, size = [], 0
            yield chunk
            continue
        waiting.append(chunk)
        size += len(chunk)
        if size >= _BLOCK_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)


async def data_sets_response(documents: Iterator[Json], media_type: str, headers: dict[str, str]) -> Response:
    """Response of DICOM JSON objects: an array, or the parts of XML."""
    if media_type == DICOM_XML:
        parts = (({"Content-Type": DICOM_XML}, iter([to_xml(document)])) for document in documents)
        return await multipart_response(parts, DICOM_XML, headers)
    return await streamed(json_array(map(orjson.dumps, documents)), media_type, headers)


def json_array(items: Iterator[bytes]) -> Iterator[bytes]:
    """JSON array of encoded items."""
    separator = b"["
    for item in items:
        yield separator + item
        separator = b","
    yield b"]"


async def _read_ahead(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    coming = loop.run_in_executor(None, next, blocks, None)
    try:
        while (block := await coming) is not None:
            coming = loop.run_in_executor(None, next, blocks, None)
            yield block
    finally:
        # The client may have gone away: the thread is let finish, so that nobody else touches the iterator.
        await asyncio.wait([coming])
