"""What every handler needs: the service it belongs to, and the checked parts of a request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from starlette.requests import Request

from producers.dicomweb.frames import count_frames, parse_frame_list
from producers.dicomweb.media import (
    DICOM_JSON,
    DICOM_XML,
    JSON,
    MULTIPART_RELATED,
    MediaType,
    choose,
    parse_accept,
)
from producers.dicomweb.problem import Problem, not_found
from producers.dicomweb.retrieve import choose_data_set_form
from producers.store import InstanceStore, StoredInstance, is_uid

#: 4 GiB is what an explicit length of a pixel data element can say (PS3.5 7.1).
MAX_PART_BYTES: Final = 4 * 1024**3
MAX_ARTIFACT_BYTES: Final = 512 * 1024**2
MAX_DOWNLOADS: Final = 128
PATIENCE_S: Final = 120.0


@dataclass(frozen=True)
class Service:
    """Store, address and limits of one DICOMweb service.

    Attributes
    ----------
    base_url
        Root of the service as clients see it, without a trailing slash.
    max_part_bytes, max_artifact_bytes
        Largest instance of a STOW request and largest artifact, in bytes.
    max_downloads
        Bodies that are streamed at the same time, each with a few MiB of memory.
    patience_s
        Seconds for which a client may take nothing of a response.
    allow_delete
        Whether clients may delete.
    """

    store: InstanceStore
    base_url: str
    max_part_bytes: int = MAX_PART_BYTES
    max_artifact_bytes: int = MAX_ARTIFACT_BYTES
    max_downloads: int = MAX_DOWNLOADS
    patience_s: float = PATIENCE_S
    allow_delete: bool = False


def uid_from_path(request: Request, name: str) -> str:
    """UID of the path; 400 when it is none."""
    uid = str(request.path_params[name])
    if not is_uid(uid):
        raise Problem(
            HTTPStatus.BAD_REQUEST, f"the {name} in the path is not a UID: digits and dots, at most 64 characters"
        )
    return uid


async def instances_in_path(service: Service, request: Request) -> list[StoredInstance]:
    """Instances of the study, series or instance that the path names; 404 when there are none."""
    names = [name for name in ("study", "series", "instance") if name in request.path_params]
    stored = await service.store.instances_of(*(uid_from_path(request, name) for name in names))
    if not stored:
        raise not_found(names[-1])
    return stored


async def frames_in_path(request: Request, stored: Sequence[StoredInstance]) -> list[int] | None:
    """Frame numbers that the path names, which exist; ``None`` when it names none."""
    text = request.path_params.get("frames")
    if text is None:
        return None
    try:
        numbers = parse_frame_list(text)
    except ValueError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from error
    available = await asyncio.to_thread(count_frames, stored[0])
    if max(numbers) > available:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            f"the instance has {available} frames: ask for frames 1 to {available}"
            if available
            else "the instance has no pixel data: retrieve it whole or its metadata",
        )
    return numbers


def accept_of(request: Request) -> tuple[MediaType, ...]:
    """Media ranges of the ``accept`` query parameter, else of the header field (PS3.18 8.3.3.1)."""
    return parse_accept(request.query_params.get("accept") or request.headers.get("accept"))


def accepted_type(request: Request, offered: Sequence[str]) -> str:
    """Best of the offered media types; 406 when the client accepts none of them."""
    chosen = choose(accept_of(request), offered)
    if chosen is None:
        raise not_acceptable(f"this resource is available as {' or '.join(offered)}: ask for one of them")
    return chosen


def data_set_type(request: Request) -> str:
    """Media type in which the client takes data sets; 406 when it takes none."""
    chosen = choose_data_set_form(accept_of(request))
    if chosen is None:
        raise not_acceptable(
            f'this resource is available as {DICOM_JSON}, {JSON} or {MULTIPART_RELATED}; type="{DICOM_XML}": '
            "ask for one of them"
        )
    return chosen


def not_acceptable(detail: str) -> Problem:
    """406 with what the client could ask for instead."""
    return Problem(HTTPStatus.NOT_ACCEPTABLE, detail)
