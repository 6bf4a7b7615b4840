"""WADO-RS: instances, metadata, frames and bulk data of a study (PS3.18 10.4).

Files are read in threads and streamed, so memory per request is bounded and the event loop never waits for a disk.
Instances are sent as they are stored wherever the client allows it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import uuid
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Final, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from producers.dicomweb import frames, multipart
from producers.dicomweb.bulk_data import NoSuchElement, bulk_bytes, parse_element_path
from producers.dicomweb.dicom_json import PIXEL_DATA
from producers.dicomweb.media import DICOM, DICOM_JSON, JSON, MULTIPART_RELATED, OCTET_STREAM
from producers.dicomweb.metadata import metadata_of
from producers.dicomweb.problem import Problem, not_found
from producers.dicomweb.requests import Service, accept_of, accepted_type, not_acceptable, uid_from_path
from producers.dicomweb.retrieve import FrameForm, InstanceForm, choose_frame_form, choose_instance_form
from producers.dicomweb.stored import file_bytes, file_chunks, opened
from producers.store import StoredInstance
from producers.store.transcode import CannotDecode, can_decode, to_explicit_little
from schemas.logs import fields

log = logging.getLogger(__name__)

#: Small pieces are gathered to about this size, because each one costs a switch of threads.
_BATCH_BYTES: Final = 512 * 1024

T = TypeVar("T")


class WadoRoutes:
    """Handlers of the Retrieve transaction.

    Parameters
    ----------
    service
        Store, addresses and limits.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def instances(self, request: Request) -> Response:
        """``/studies/{study}[/series/{series}[/instances/{instance}]]``."""
        stored = await self._find(request)
        form = choose_instance_form(
            accept_of(request), [instance.transfer_syntax_uid for instance in stored], can_decode
        )
        if form is None:
            syntaxes = ", ".join(sorted({instance.transfer_syntax_uid for instance in stored}))
            raise not_acceptable(
                f"this is stored as {DICOM} in transfer syntax {syntaxes} and cannot be changed to what was asked "
                f'for: accept {MULTIPART_RELATED}; type="{DICOM}"; transfer-syntax=*'
            )
        headers = {}
        if "instance" in request.path_params and not form.decoded:
            headers["ETag"] = f'"{stored[0].sha256}"'
            if headers["ETag"] in request.headers.get("if-none-match", ""):
                return Response(status_code=int(HTTPStatus.NOT_MODIFIED), headers=headers)
        return await _instances_response(stored, form, headers)

    async def metadata(self, request: Request) -> Response:
        """``…/metadata`` of a study, series or instance: DICOM JSON without bulk data."""
        media_type = accepted_type(request, (DICOM_JSON, JSON))
        stored = await self._find(request)
        return await _streamed(_json_array(self._header_json(instance) for instance in stored), media_type, {})

    async def frames(self, request: Request) -> Response:
        """``…/instances/{instance}/frames/{list}``."""
        try:
            numbers = frames.parse_frame_list(request.path_params["frames"])
        except ValueError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from error
        (stored,) = await self._find(request)
        available = await asyncio.to_thread(_count_frames, stored)
        if max(numbers) > available:
            raise Problem(
                HTTPStatus.NOT_FOUND,
                f"the instance has {available} frames: ask for frames 1 to {available}"
                if available
                else "the instance has no pixel data: retrieve it whole or its metadata",
            )
        return await self._frames_response(request, stored, numbers)

    async def bulk_data(self, request: Request) -> Response:
        """``…/instances/{instance}/bulkdata/{path}``: what a BulkDataURI of the metadata points to."""
        try:
            path = parse_element_path(request.path_params["path"])
        except ValueError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from error
        (stored,) = await self._find(request)
        if path[0] in PIXEL_DATA and frames.media_type_of(stored.transfer_syntax_uid) != OCTET_STREAM:
            available = await asyncio.to_thread(_count_frames, stored)
            return await self._frames_response(request, stored, range(1, available + 1))
        if choose_frame_form(accept_of(request), "", lambda _: False) is None:
            accepted_type(request, (OCTET_STREAM,))
        try:
            data = await asyncio.to_thread(bulk_bytes, stored, path)
        except NoSuchElement as error:
            raise Problem(HTTPStatus.NOT_FOUND, str(error)) from error
        return await _multipart(iter([({"Content-Type": OCTET_STREAM}, iter([data]))]), OCTET_STREAM, {})

    async def _find(self, request: Request) -> list[StoredInstance]:
        names = [name for name in ("study", "series", "instance") if name in request.path_params]
        uids = [uid_from_path(request, name) for name in names]
        stored = await self._service.store.instances_of(*uids)
        if not stored:
            raise not_found(names[-1])
        return stored

    async def _frames_response(self, request: Request, stored: StoredInstance, numbers: Sequence[int]) -> Response:
        form = choose_frame_form(accept_of(request), stored.transfer_syntax_uid, can_decode)
        if form is None:
            raise not_acceptable(
                f"frames are stored as {frames.media_type_of(stored.transfer_syntax_uid)} in transfer syntax "
                f'{stored.transfer_syntax_uid}: accept {MULTIPART_RELATED}; type="*/*"; transfer-syntax=*'
            )
        parts = (({"Content-Type": form.content_type}, iter([frame])) for frame in _frames(stored, numbers, form))
        return await _multipart(parts, form.media_type, {})

    def _header_json(self, stored: StoredInstance) -> bytes:
        return orjson.dumps(metadata_of(stored, self._service.base_url))


def _count_frames(stored: StoredInstance) -> int:
    with opened(stored) as instance:
        return frames.number_of_frames(instance)


def _frames(stored: StoredInstance, numbers: Sequence[int], form: FrameForm) -> Iterator[bytes]:
    if form.decoded:
        yield from frames.decoded_frames(stored, numbers)
        return
    with opened(stored) as instance:
        yield from frames.stored_frames(instance, numbers)


async def _instances_response(
    stored: Sequence[StoredInstance], form: InstanceForm, headers: dict[str, str]
) -> Response:
    def body_of(instance: StoredInstance) -> Iterator[bytes]:
        if instance.transfer_syntax_uid in form.decoded:
            return iter([to_explicit_little(instance)])
        return file_chunks(instance)

    if form.wrapping == "single":
        return await _streamed(body_of(stored[0]), DICOM, headers)
    lengths = None if form.decoded else sum(file_bytes(instance) for instance in stored)
    parts = (({"Content-Type": DICOM}, body_of(instance)) for instance in stored)
    return await _multipart(parts, DICOM, headers, lengths, len(stored))


_Parts = Iterator[tuple[dict[str, str], Iterator[bytes]]]


async def _multipart(
    parts: _Parts, part_type: str, headers: dict[str, str], body_bytes: int | None = None, count: int = 0
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

    return await _streamed(chunks(), f'{MULTIPART_RELATED}; type="{part_type}"; boundary={boundary}', headers)


async def _streamed(chunks: Iterator[bytes], media_type: str, headers: dict[str, str]) -> Response:
    """Streaming response whose first chunk is made before it begins, so that a failure still has a status."""
    gathered = _gathered(chunks)
    try:
        first = await asyncio.to_thread(next, gathered, b"")
    except FileNotFoundError as error:
        log.error("the file of an indexed instance is missing", extra=fields(file=error.filename))  # noqa: TRY400
        raise Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "a file of this object is missing from the gateway's disk: restore it, or send the object again",
        ) from error
    except CannotDecode as error:
        raise not_acceptable(f"{error}: accept it as it is stored, with transfer-syntax=*") from error
    return StreamingResponse(itertools.chain([first], gathered), headers={**headers, "Content-Type": media_type})


def _gathered(chunks: Iterator[bytes]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    size = 0
    for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        if size >= _BATCH_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)


def _json_array(items: Iterator[bytes]) -> Iterator[bytes]:
    separator = b"["
    for item in items:
        yield separator + item
        separator = b","
    yield b"]"
