"""Answer of WADO-RS → the instance in it (PS3.18 10.4.4), read piece by piece and never more than is allowed."""

from __future__ import annotations

import io
from collections.abc import Iterable

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from producers.dicomweb.media import DICOM, parse_media_type
from producers.dicomweb.multipart import MalformedMultipart, MultipartReader, PartBegin, PartData, PartTooLarge


class Unreadable(Exception):
    """The answer holds no instance that can be read; the message says why."""


class TooLarge(Exception):
    """The instance in the answer is larger than was asked for."""


def instance(content_type: str, chunks: Iterable[bytes], max_bytes: int) -> Dataset:
    """First instance of an answer.

    Parameters
    ----------
    content_type
        ``Content-Type`` of the answer: ``multipart/related``, or ``application/dicom`` of servers that send one
        instance bare.
    chunks
        Its body.
    max_bytes
        Most bytes of the instance.

    Raises
    ------
    Unreadable
        It is another kind of answer, or broken.
    TooLarge
        The instance has more bytes.
    """
    data = _first_part(content_type, chunks, max_bytes)
    try:
        return dcmread(io.BytesIO(data))
    except (InvalidDicomError, EOFError, ValueError, OSError) as error:
        raise Unreadable(f"the instance cannot be read ({type(error).__name__})") from error


def _first_part(content_type: str, chunks: Iterable[bytes], max_bytes: int) -> bytes:
    kind = parse_media_type(content_type)
    boundary = kind.parameters.get("boundary") if kind is not None else None
    data = bytearray()
    if boundary is None:
        if kind is None or kind.name != DICOM:
            raise Unreadable(f"the answer is {content_type.partition(';')[0] or 'of no media type'}")
        for chunk in chunks:
            data += chunk
            if len(data) > max_bytes:
                raise TooLarge
        return bytes(data)
    parts = 0
    try:
        reader = MultipartReader(boundary, max_bytes)
        for chunk in chunks:
            for event in reader.feed(chunk):
                if isinstance(event, PartBegin):
                    parts += 1
                elif isinstance(event, PartData) and parts == 1:
                    data += event.data
        reader.finish()
    except PartTooLarge as error:
        raise TooLarge from error
    except MalformedMultipart as error:
        raise Unreadable(f"the answer is no multipart body ({error})") from error
    return bytes(data)
