"""STOW-RS: ``POST /studies[/{study}]`` (PS3.18 10.5).

Instances go to the store while the rest of the request is still coming, and each has its own outcome. A success in
the response means durable. A request that breaks off leaves what was complete in the store; sending it again gives
the same answer, because the store takes a repeated instance as a success.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from producers.dicomweb.incoming import IncomingPart
from producers.dicomweb.media import DICOM, DICOM_JSON, DICOM_XML, JSON, MULTIPART_RELATED, parse_media_type
from producers.dicomweb.multipart import (
    MalformedMultipart,
    MultipartReader,
    PartBegin,
    PartData,
    PartEnd,
    PartTooLarge,
)
from producers.dicomweb.native_xml import to_xml
from producers.dicomweb.problem import Problem
from producers.dicomweb.requests import Service, accepted_type, uid_from_path
from producers.dicomweb.stow_response import body_of, status_of
from producers.store import PutOutcome, Received
from schemas.logs import fields

log = logging.getLogger(__name__)

RETRY_AFTER_S: Final = 30
_CONCURRENT_PUTS: Final = 16
#: Each part has an outcome that is kept until the response.
MAX_PARTS: Final = 50_000


class StowRoutes:
    """Handlers of the Store transaction.

    Parameters
    ----------
    service
        Store, addresses and limits.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def store(self, request: Request) -> Response:
        """Store every instance of a multipart request and answer for each."""
        addressed = uid_from_path(request, "study") if "study" in request.path_params else None
        media_type = accepted_type(request, (DICOM_JSON, JSON, DICOM_XML))
        boundary = _boundary(request.headers.get("content-type", ""))
        if self._service.store.is_full():
            # Before the body is read: a client that waits for 100-continue (RFC 9110 10.1.1) does not send it.
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the gateway's disk is full to the mark: free space, then send the request again",
                {"Retry-After": str(RETRY_AFTER_S)},
            )
        outcomes = await self._receive(request, boundary, addressed)
        if not outcomes:
            raise Problem(
                HTTPStatus.BAD_REQUEST, "the request holds no instance: send one application/dicom part for each"
            )
        status = status_of(outcomes)
        for outcome in outcomes:
            if not outcome.ok and outcome.sop_instance_uid is None:
                log.warning("part refused", extra=fields(status=f"{outcome.status:04X}", reason=outcome.sentence))
        headers = {}
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = str(RETRY_AFTER_S)
        document = body_of(outcomes, self._service.base_url, addressed)
        write = to_xml if media_type == DICOM_XML else orjson.dumps
        return Response(await asyncio.to_thread(write, document), int(status), headers, media_type)

    async def _receive(self, request: Request, boundary: str, addressed: str | None) -> list[PutOutcome]:
        intake = _Intake(self._service, addressed)
        try:
            reader = MultipartReader(boundary, self._service.max_part_bytes)
            async for chunk in request.stream():
                for event in reader.feed(chunk):
                    match event:
                        case PartBegin(headers):
                            intake.begin(headers)
                        case PartData(data):
                            await intake.data(data)
                        case PartEnd():
                            await intake.end()
            reader.finish()
        except MalformedMultipart as error:
            raise Problem(
                HTTPStatus.BAD_REQUEST, f"{error}; instances before that point are stored, send the request again"
            ) from error
        except PartTooLarge as error:
            raise Problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{error}; instances before it are stored, send this one by C-STORE",
            ) from error
        except TooManyParts as error:
            raise Problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the request has more than {MAX_PARTS} parts; the first ones are stored, send the others in "
                "further requests",
            ) from error
        except OSError as error:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the gateway's disk took no more: free space, then send the request again",
                {"Retry-After": str(RETRY_AFTER_S)},
            ) from error
        finally:
            outcomes = await intake.close()
        return outcomes


class TooManyParts(Exception):
    """One request holds more parts than outcomes are kept."""


class _Intake:
    """Parts of one request on their way into the store, a bounded number at once."""

    def __init__(self, service: Service, addressed: str | None) -> None:
        self._service = service
        self._addressed = addressed
        self._part: IncomingPart | None = None
        self._results: list[asyncio.Future[PutOutcome]] = []
        self._slots = asyncio.Semaphore(_CONCURRENT_PUTS)

    def begin(self, headers: Mapping[str, str]) -> None:
        if len(self._results) >= MAX_PARTS:
            raise TooManyParts
        self._part = IncomingPart(headers, self._service.store.new_spool())

    async def data(self, data: bytes) -> None:
        if self._part is None:
            return
        if self._part.will_use_disk(len(data)):
            await asyncio.to_thread(self._part.append, data)
        else:
            self._part.append(data)

    async def end(self) -> None:
        if self._part is None:
            return
        finished, self._part = self._part.finish(self._addressed), None
        await self._slots.acquire()
        self._results.append(asyncio.ensure_future(self._put(finished)))

    async def close(self) -> list[PutOutcome]:
        """Wait for what was handed over; a put that has begun is never cancelled."""
        if self._part is not None:
            self._part.abandon()
        return list(await asyncio.gather(*self._results))

    async def _put(self, finished: Received | PutOutcome) -> PutOutcome:
        try:
            return finished if isinstance(finished, PutOutcome) else await self._service.store.put(finished)
        finally:
            self._slots.release()


def _boundary(content_type: str) -> str:
    """Boundary of the request's body; refuses other media types."""
    parsed = parse_media_type(content_type)
    if parsed is None or parsed.name != MULTIPART_RELATED or parsed.parameters.get("type", DICOM).lower() != DICOM:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f'send {MULTIPART_RELATED}; type="{DICOM}" with one Part 10 file in each part (PS3.18 10.5): '
            "metadata and bulk data in parts of their own are not taken",
            {"Accept-Post": f'{MULTIPART_RELATED}; type="{DICOM}"'},
        )
    boundary = parsed.parameters.get("boundary")
    if not boundary:
        raise Problem(HTTPStatus.BAD_REQUEST, "the Content-Type has no boundary parameter (RFC 2046 5.1.1)")
    return boundary
