"""WADO-RS: rendered images and thumbnails of studies, series, instances, frames (PS3.18 10.4.1.1.3-4).

Images are made in threads, a few at once, so that rendering never takes the processors from receiving. One image
is one response with an ETag of its bytes; several are the parts of a multipart response, made one after the other.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from http import HTTPStatus
from typing import Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from producers.dicomweb.conditional import not_modified
from producers.dicomweb.display import CannotRender, frame_time_ms, moving_frames, rendered
from producers.dicomweb.frames import count_frames
from producers.dicomweb.image_files import GIF, JPEG, animated, encoded
from producers.dicomweb.media import MULTIPART_RELATED
from producers.dicomweb.metadata import instance_url
from producers.dicomweb.multipart import closing, part_head
from producers.dicomweb.problem import Problem
from producers.dicomweb.render_request import Rendering, Viewport, parse_rendering
from producers.dicomweb.requests import Service, accept_of, frames_in_path, instances_in_path, not_acceptable
from producers.dicomweb.retrieve import RenderedForm, choose_rendered_form
from producers.store import StoredInstance
from producers.store.transcode import CannotDecode
from schemas.errors import InvalidMessage

#: Images that are made at the same time.
_CONCURRENT: Final = 2
_THUMBNAIL: Final = Viewport(128, 128)
#: Objects without an image (reports, presentation states) that are passed over in search for a thumbnail.
_MAX_CANDIDATES: Final = 20

T = TypeVar("T")
Target = tuple[StoredInstance, Sequence[int]]


class RenderedRoutes:
    """Handlers of the Retrieve transaction for rendered resources.

    Parameters
    ----------
    service
        Store, addresses and limits.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._slots = asyncio.Semaphore(_CONCURRENT)

    async def rendered(self, request: Request) -> Response:
        """``…/rendered`` of a study, series, instance or frames."""
        rendering = _rendering(request, thumbnail=False)
        stored = await instances_in_path(self._service, request)
        numbers = await frames_in_path(request, stored)
        form = choose_rendered_form(accept_of(request), one=len(stored) == 1 and len(numbers or (1,)) == 1)
        if form is None:
            raise not_acceptable(
                "this is rendered as image/jpeg, image/png or image/gif; several images as multipart/related; "
                'type="image/jpeg" and so on: ask for one of them'
            )
        if form.multipart:
            return await self._several(request, stored, numbers, rendering, form)
        return _single(request, await self._one(stored[0], numbers, rendering, form), form, rendering)

    async def thumbnail(self, request: Request) -> Response:
        """``…/thumbnail`` of a study, series, instance or frame: a small image, of the middle one."""
        rendering = _rendering(request, thumbnail=True)
        stored = await instances_in_path(self._service, request)
        numbers = await frames_in_path(request, stored)
        form = choose_rendered_form(accept_of(request), one=True)
        if form is None or form.multipart:
            raise not_acceptable("a thumbnail is image/jpeg, image/png or image/gif: ask for one of them")
        refusal: Problem | None = None
        for candidate in _from_the_middle(stored)[:_MAX_CANDIDATES]:
            try:
                data = await self._one(candidate, numbers[:1] if numbers else None, rendering, form)
            except Problem as problem:
                if problem.status is not HTTPStatus.NOT_ACCEPTABLE:
                    raise
                refusal = refusal or problem
            else:
                return _single(request, data, form, rendering)
        raise refusal or not_acceptable("there is no image to make a thumbnail of")

    async def _one(
        self,
        stored: StoredInstance,
        numbers: Sequence[int] | None,
        rendering: Rendering,
        form: RenderedForm,
    ) -> bytes:
        """One image file: of the frame that is asked for, else the representative one; a GIF moves."""

        def run() -> bytes:
            if form.media_type == GIF and numbers is None and (count := moving_frames(stored, rendering.viewport)):
                frames = range(1, count + 1)
                return animated(list(rendered(stored, frames, rendering)), frame_time_ms(stored))
            return encoded(next(rendered(stored, numbers, rendering)), form.media_type, rendering.quality)

        return await self._work(run)

    async def _several(
        self,
        request: Request,
        stored: Sequence[StoredInstance],
        numbers: Sequence[int] | None,
        rendering: Rendering,
        form: RenderedForm,
    ) -> Response:
        boundary = uuid.uuid4().hex
        parts = self._parts(stored, numbers, rendering, form, boundary)
        # The first image is made before the response begins, so that a failure has a status.
        first = await anext(parts, None)
        if first is None:
            raise not_acceptable("there is no object with an image: retrieve it as application/dicom")

        async def body() -> AsyncIterator[bytes]:
            yield first
            async for part in parts:
                yield part
            yield closing(boundary)

        media_type = f'{MULTIPART_RELATED}; type="{form.media_type}"; boundary={boundary}'
        response = StreamingResponse(body(), headers={"Content-Type": media_type, "Vary": "Accept"})
        return _warned(response, rendering, form, request)

    async def _parts(
        self,
        stored: Sequence[StoredInstance],
        numbers: Sequence[int] | None,
        rendering: Rendering,
        form: RenderedForm,
        boundary: str,
    ) -> AsyncIterator[bytes]:
        for instance in stored:
            frames = numbers or range(1, await asyncio.to_thread(count_frames, instance) + 1)
            make = partial(next, _files(instance, frames, rendering, form))
            url = instance_url(instance, self._service.base_url)
            for number in frames:
                data = await self._work(make)
                location = f"{url}/frames/{number}/rendered"
                head = part_head(boundary, {"Content-Type": form.media_type, "Content-Location": location})
                yield head + data

    async def _work(self, run: Callable[[], T]) -> T:
        """Make an image in a thread; what cannot be made is a problem of the standard."""
        async with self._slots:
            try:
                return await asyncio.to_thread(run)
            except InvalidMessage as error:
                raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from error
            except CannotRender as error:
                raise not_acceptable(str(error)) from error
            except CannotDecode as error:
                raise not_acceptable(f"{error}: retrieve it as it is stored, with transfer-syntax=*") from error


def _files(
    stored: StoredInstance, frames: Sequence[int], rendering: Rendering, form: RenderedForm
) -> Iterator[bytes]:
    for image in rendered(stored, frames, rendering):
        yield encoded(image, form.media_type, rendering.quality)


def _rendering(request: Request, *, thumbnail: bool) -> Rendering:
    try:
        rendering = parse_rendering(request.query_params, thumbnail=thumbnail)
    except InvalidMessage as error:
        raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from error
    if thumbnail and rendering.viewport is None:
        return Rendering(viewport=_THUMBNAIL)
    return rendering


def _from_the_middle(stored: Sequence[StoredInstance]) -> list[StoredInstance]:
    middle = (len(stored) - 1) / 2
    order = sorted(range(len(stored)), key=lambda position: abs(position - middle))
    return [stored[position] for position in order]


def _single(request: Request, data: bytes, form: RenderedForm, rendering: Rendering) -> Response:
    # Of the bytes, because the same instance may be rendered otherwise by another release.
    headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "Vary": "Accept"}
    if not_modified(request.headers, headers["ETag"]):
        return Response(status_code=int(HTTPStatus.NOT_MODIFIED), headers=headers)
    return _warned(Response(data, headers=headers, media_type=form.media_type), rendering, form, request)


def _warned(response: Response, rendering: Rendering, form: RenderedForm, request: Request) -> Response:
    sentences = list(rendering.warnings)
    if rendering.quality is not None and form.media_type != JPEG:
        sentences.append(f"The quality parameter has no meaning for {form.media_type}")
    if request.query_params.get("presentationUID"):
        sentences.append("Presentation states are not applied")
    for sentence in sentences:
        response.headers.append("Warning", f'299 scanstream "{sentence}"')
    return response
