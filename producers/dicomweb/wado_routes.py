"""WADO-RS: instances, metadata, frames and bulk data of a study (PS3.18 10.4).

Files are read in threads and streamed, so memory per request is bounded and the event loop never waits for a disk.
Instances are sent as they are stored wherever the client allows it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from producers.dicomweb import frames
from producers.dicomweb.bulk_data import (
    NoSuchElement,
    bulk_bytes,
    native_chunks,
    native_length,
    parse_element_path,
)
from producers.dicomweb.conditional import not_modified
from producers.dicomweb.dicom_json import PIXEL_DATA
from producers.dicomweb.media import DICOM, MULTIPART_RELATED, OCTET_STREAM
from producers.dicomweb.metadata import metadata_of
from producers.dicomweb.problem import Problem
from producers.dicomweb.requests import (
    Service,
    accept_of,
    data_set_type,
    frames_in_path,
    instances_in_path,
    not_acceptable,
)
from producers.dicomweb.retrieve import (
    FrameForm,
    InstanceForm,
    choose_bulk_form,
    choose_frame_form,
    choose_instance_form,
)
from producers.dicomweb.stored import decoded_chunks, file_bytes, file_chunks, opened
from producers.dicomweb.streaming import attempted, data_sets_response, multipart_response, ranged, streamed
from producers.store import StoredInstance
from producers.store.transcode import can_decode


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
        stored = await instances_in_path(self._service, request)
        form = choose_instance_form(
            accept_of(request), [instance.transfer_syntax_uid for instance in stored], can_decode
        )
        if form is None:
            syntaxes = ", ".join(sorted({instance.transfer_syntax_uid for instance in stored}))
            raise not_acceptable(
                f"this is stored as {DICOM} in transfer syntax {syntaxes} and cannot be changed to what was asked "
                f'for: accept {MULTIPART_RELATED}; type="{DICOM}"; transfer-syntax=*'
            )
        if "instance" in request.path_params and not form.decoded:
            return await _instance_as_stored(request, stored[0], form)
        return await _instances_response(stored, form, {})

    async def metadata(self, request: Request) -> Response:
        """``…/metadata`` of a study, series or instance: DICOM JSON, or XML, without bulk data."""
        media_type = data_set_type(request)
        stored = await instances_in_path(self._service, request)
        headers = {"ETag": self._metadata_tag(stored, media_type)}
        if not_modified(request.headers, headers["ETag"]):
            return Response(status_code=int(HTTPStatus.NOT_MODIFIED), headers=headers)
        documents = (metadata_of(instance, self._service.base_url) for instance in stored)
        return await data_sets_response(documents, media_type, headers)

    async def frames(self, request: Request) -> Response:
        """``…/instances/{instance}/frames/{list}``."""
        (stored,) = await instances_in_path(self._service, request)
        numbers = await frames_in_path(request, [stored])
        return await self._frames_response(request, stored, numbers or ())

    async def bulk_data(self, request: Request) -> Response:
        """``…/instances/{instance}/bulkdata/{path}``: what a BulkDataURI of the metadata points to."""
        try:
            path = parse_element_path(request.path_params["path"])
        except ValueError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from error
        (stored,) = await instances_in_path(self._service, request)
        if path[0] in PIXEL_DATA and frames.media_type_of(stored.transfer_syntax_uid) != OCTET_STREAM:
            available = await asyncio.to_thread(frames.count_frames, stored)
            return await self._frames_response(request, stored, range(1, available + 1))
        form = choose_bulk_form(accept_of(request))
        if form is None:
            raise not_acceptable(
                f'bulk data is {OCTET_STREAM}, alone or as multipart/related; type="{OCTET_STREAM}"'
            )
        bulk = await asyncio.to_thread(attempted, lambda: _bulk(stored, path))
        if form == "multipart":
            parts = iter([({"Content-Type": OCTET_STREAM}, bulk.chunks(range(bulk.length)))])
            return await multipart_response(parts, OCTET_STREAM, {})
        etag = f'"{stored.sha256}-{"-".join(f"{number:X}" for number in path)}"'
        return await ranged(request.headers, etag, bulk.length, OCTET_STREAM, bulk.chunks)

    async def _frames_response(self, request: Request, stored: StoredInstance, numbers: Sequence[int]) -> Response:
        accepted = accept_of(request)
        form = choose_frame_form(accepted, stored.transfer_syntax_uid, can_decode, one=len(numbers) == 1)
        if form is None:
            raise not_acceptable(
                f"frames are stored as {frames.media_type_of(stored.transfer_syntax_uid)} in transfer syntax "
                f'{stored.transfer_syntax_uid}: accept {MULTIPART_RELATED}; type="*/*"; transfer-syntax=*'
            )
        if form.alone:
            made = _frames(stored, numbers, form)
            data = await asyncio.to_thread(attempted, lambda: next(made, b""))
            return await _ranged_bytes(request, data, form.content_type)
        parts = (({"Content-Type": form.content_type}, iter([frame])) for frame in _frames(stored, numbers, form))
        return await multipart_response(parts, form.media_type, {})

    def _metadata_tag(self, stored: Sequence[StoredInstance], media_type: str) -> str:
        """Weak, because the same stored bytes may be written otherwise by another release."""
        digest = hashlib.sha256(f"{self._service.base_url} {media_type} ".encode())
        for instance in stored:
            digest.update(f"{instance.sop_instance_uid} {instance.sha256} ".encode())
        return f'W/"{digest.hexdigest()}"'


def _frames(stored: StoredInstance, numbers: Sequence[int], form: FrameForm) -> Iterator[bytes]:
    if form.decoded:
        yield from frames.decoded_frames(stored, numbers)
        return
    with opened(stored) as instance:
        yield from frames.stored_frames(instance, numbers)


async def _instance_as_stored(request: Request, stored: StoredInstance, form: InstanceForm) -> Response:
    if form.wrapping == "single":
        etag = f'"{stored.sha256}"'
        return await ranged(
            request.headers, etag, file_bytes(stored), DICOM, lambda wanted: file_chunks(stored, wanted)
        )
    # Weak: the boundary differs each time.
    headers = {"ETag": f'W/"{stored.sha256}-parts"'}
    if not_modified(request.headers, headers["ETag"]):
        return Response(status_code=int(HTTPStatus.NOT_MODIFIED), headers=headers)
    return await _instances_response([stored], form, headers)


@dataclass(frozen=True)
class _Bulk:
    """Bulk data: its length, and bytes of a range."""

    length: int
    chunks: Callable[[range], Iterator[bytes]]


def _bulk(stored: StoredInstance, path: Sequence[int]) -> _Bulk:
    """What is at a path; pixel data is read while it is sent."""
    try:
        if len(path) == 1 and path[0] in PIXEL_DATA:
            return _Bulk(native_length(stored, path[0]), partial(native_chunks, stored, path[0]))
        data = bulk_bytes(stored, path)
    except NoSuchElement as error:
        raise Problem(HTTPStatus.NOT_FOUND, str(error)) from error
    return _Bulk(len(data), lambda wanted: iter([_cut(data, wanted)]))


async def _ranged_bytes(request: Request, data: bytes, media_type: str) -> Response:
    etag = f'"{hashlib.sha256(data).hexdigest()}"'
    return await ranged(request.headers, etag, len(data), media_type, lambda wanted: iter([_cut(data, wanted)]))


def _cut(data: bytes, wanted: range) -> bytes:
    return data[wanted.start : wanted.stop]


async def _instances_response(
    stored: Sequence[StoredInstance], form: InstanceForm, headers: dict[str, str]
) -> Response:
    def body_of(instance: StoredInstance) -> Iterator[bytes]:
        return decoded_chunks(instance) if instance.transfer_syntax_uid in form.decoded else file_chunks(instance)

    if form.wrapping == "single":
        return await streamed(body_of(stored[0]), DICOM, headers)
    lengths = None if form.decoded else sum(file_bytes(instance) for instance in stored)
    parts = (({"Content-Type": DICOM}, body_of(instance)) for instance in stored)
    return await multipart_response(parts, DICOM, headers, lengths, len(stored))
