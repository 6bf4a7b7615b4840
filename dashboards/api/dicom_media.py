"""Data sets over HTTP: DICOM JSON, or the Native DICOM Model in XML, as either side likes (PS3.18 8.7.3)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final

import orjson
from fastapi import Request, Response
from pydicom import Dataset

from dashboards.ups.orders import WorkitemRefused, parsed, warning
from producers.dicomweb import multipart
from producers.dicomweb.media import DICOM_JSON, DICOM_XML, JSON, MULTIPART_RELATED, choose
from producers.dicomweb.native_xml import to_xml
from producers.dicomweb.requests import accept_of
from producers.dicomweb.retrieve import choose_data_set_form

_FRESH: Final = {"cache-control": "no-cache"}


async def data_set_of(request: Request) -> Dataset:
    """Data set in the body of a request.

    Raises
    ------
    WorkitemRefused
        It is of another media type, or is none.
    """
    kind = request.headers.get("content-type", DICOM_JSON).partition(";")[0].strip().lower()
    if kind not in (DICOM_JSON, JSON, DICOM_XML):
        raise WorkitemRefused(415, f"the body must be {DICOM_JSON} or {DICOM_XML}: convert it")
    return parsed(await request.body(), xml=kind == DICOM_XML)


def check_acceptable(request: Request, *, one: bool) -> str:
    """Media type that the client likes best: of ``one`` data set, or of a list of them.

    Raises
    ------
    WorkitemRefused
        It likes none of those that there are.
    """
    accepted = accept_of(request)
    chosen = choose(accepted, (DICOM_JSON, JSON, DICOM_XML)) if one else None
    if chosen is None:
        chosen = choose_data_set_form(accepted)
        chosen = MULTIPART_RELATED if chosen == DICOM_XML else chosen
    if chosen is None:
        xml = DICOM_XML if one else f'{MULTIPART_RELATED}; type="{DICOM_XML}"'
        raise WorkitemRefused(406, f"only {DICOM_JSON} and {xml} are served: ask for one of them")
    return chosen


def answer(items: Sequence[Any], media_type: str, warnings: Sequence[str] = ()) -> Response:
    """Data sets as a client likes them, with sentences for the Warning header field; none is 204.

    ``media_type`` is what :func:`check_acceptable` chose: ``multipart/related`` has parts in XML. For JSON an item
    may also be what is rendered already.
    """
    headers = warning(*warnings)
    if not items:
        return Response(status_code=204, headers=headers)
    headers |= _FRESH
    if media_type in (DICOM_JSON, JSON):
        return Response(orjson.dumps(items), media_type=media_type, headers=headers)
    if media_type == DICOM_XML:
        return Response(to_xml(items[0]), media_type=DICOM_XML, headers=headers)
    boundary = uuid.uuid4().hex
    head = multipart.part_head(boundary, {"Content-Type": DICOM_XML})
    body = b"".join(head + to_xml(item) for item in items) + multipart.closing(boundary)
    kind = f'{MULTIPART_RELATED}; type="{DICOM_XML}"; boundary={boundary}'
    return Response(body, media_type=kind, headers=headers)
